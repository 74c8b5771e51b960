//! Every branch of the definition `statemachine/session.asl.json`.

use super::{Driver, TaskResult, error};
use crate::Outcome;
use serde_json::{Value, json};

pub(super) const DEFINITION: &str = include_str!("../../../../../statemachine/session.asl.json");

const TRANSIENT: [&str; 12] = [
    "Backend",
    "Throttled",
    "Conflict",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Runtime.OutOfMemory",
    "Sandbox.Timedout",
];

fn next(action: &str) -> TaskResult {
    TaskResult::Output(json!({ "action": action }))
}

fn wait(seconds: u64) -> TaskResult {
    TaskResult::Output(json!({ "action": "wait", "waitSeconds": seconds }))
}

fn done() -> TaskResult {
    TaskResult::Output(json!({}))
}

fn driver() -> Driver {
    Driver::new(&serde_json::from_str(DEFINITION).unwrap())
}

/// A session with scripted results; a state without a script succeeds at once.
fn session(script: &[(&str, Vec<TaskResult>)]) -> Driver {
    let happy = [
        ("Provision", vec![done()]),
        ("WaitRunning", vec![wait(3600)]),
        ("Ready", vec![next("stop")]),
        ("StopTask", vec![next("finish")]),
        ("Finish", vec![done()]),
    ];
    let mut driver = driver();
    for (state, results) in script {
        driver = driver.answer(state, results.clone());
    }
    for (state, results) in happy {
        if !script.iter().any(|(scripted, _)| *scripted == state) {
            driver = driver.answer(state, results);
        }
    }
    driver
}

/// Runs the session to its end and returns the names of the entered states.
fn path(script: &[(&str, Vec<TaskResult>)]) -> String {
    let mut driver = session(script);
    let outcome = driver.run(json!({ "sessionId": "sh_1" }));
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    driver.states().join(" ")
}

const START: &str = "Provision WaitRunning";
const END: &str = "StopTask";
const INSPECTED: &str = "Provision WaitRunning Inspect Decide";

#[test]
fn the_happy_path_takes_four_transitions() {
    let mut driver = session(&[]);
    driver.run(json!({ "sessionId": "sh_1" }));
    let states = driver.states();
    assert_eq!(states.join(" "), format!("{START} Ready {END}"));
    assert_eq!(states.len(), 4);
}

#[test]
fn handlers_receive_the_session_and_waiting_handlers_a_token() {
    let mut driver = session(&[]);
    driver.run(json!({ "sessionId": "sh_1" }));
    let calls: Vec<_> = driver.invocations.iter().map(|i| i.resource.as_str()).collect();
    assert_eq!(calls, ["${ProvisionTask}", "${AwaitRunning}", "${AwaitEnd}", "${StopTask}"]);
    for call in &driver.invocations {
        let expected = match (&call.token, call.resource.as_str()) {
            (Some(token), "${AwaitEnd}") => {
                let entered = "1970-01-01T00:00:00.000Z";
                json!({
                    "sessionId": "sh_1", "token": token, "waitSeconds": 3600, "enteredAt": entered, "retries": 0,
                })
            }
            (Some(token), _) => json!({ "sessionId": "sh_1", "token": token }),
            (None, _) => json!({ "sessionId": "sh_1" }),
        };
        assert_eq!(call.input, expected, "{}", call.resource);
    }
}

#[test]
fn decide_follows_the_action_of_the_answer() {
    let table = [
        (wait(60), format!("{INSPECTED} Ready {END}")),
        (next("provision"), format!("{INSPECTED} {START} Ready {END}")),
        (next("await_running"), format!("{INSPECTED} WaitRunning Ready {END}")),
        (next("stop"), format!("{INSPECTED} {END}")),
        (next("finish"), format!("{INSPECTED} Finish")),
    ];
    for (result, expected) in table {
        let script = [
            ("WaitRunning", vec![TaskResult::Timeout, wait(60)]),
            ("Inspect", vec![result.clone()]),
            ("Provision", vec![done(), done()]),
        ];
        assert_eq!(path(&script), expected, "{result:?}");
    }
}

#[test]
fn an_invalid_answer_stops_the_task() {
    let nonsense = [
        json!(null),
        json!("wait"),
        json!({}),
        json!({ "action": 1 }),
        json!({ "action": "dance" }),
        json!({ "action": "wait" }),
        json!({ "action": "wait", "waitSeconds": 0 }),
        json!({ "action": "wait", "waitSeconds": "60" }),
    ];
    for answer in nonsense {
        let script = [
            ("WaitRunning", vec![TaskResult::Timeout]),
            ("Inspect", vec![TaskResult::Output(answer.clone())]),
        ];
        assert_eq!(path(&script), format!("{INSPECTED} {END}"), "{answer}");
    }
}

#[test]
fn a_session_that_is_to_end_before_it_is_ready_is_stopped() {
    let script = [("WaitRunning", vec![TaskResult::Error("StopRequested")])];
    assert_eq!(path(&script), format!("{START} {END}"));
}

#[test]
fn a_deadline_that_has_become_earlier_sets_a_new_timer() {
    let moved = vec![TaskResult::Error("DeadlineMoved"), next("stop")];
    let script = [("Ready", moved), ("Inspect", vec![wait(60)])];
    assert_eq!(path(&script), format!("{START} Ready Inspect Decide Ready {END}"));
}

#[test]
fn ready_waits_for_the_given_time_and_then_decides_again() {
    let mut driver = session(&[
        ("WaitRunning", vec![wait(100)]),
        ("Ready", vec![TaskResult::Timeout, TaskResult::Timeout]),
        ("Inspect", vec![wait(50), next("stop")]),
    ]);
    driver.run(json!({ "sessionId": "sh_1" }));
    let expected = format!("{START} Ready Inspect Decide Ready Inspect Decide {END}");
    assert_eq!(driver.states().join(" "), expected);
    assert_eq!(driver.now.0, 150_000);
}

#[test]
fn a_failed_wait_inspects_the_record_again() {
    for result in [TaskResult::Timeout, TaskResult::Error("BadInput")] {
        let script = [("WaitRunning", vec![result.clone()]), ("Inspect", vec![next("finish")])];
        assert_eq!(path(&script), "Provision WaitRunning Inspect Decide Finish", "{result:?}");
        let script = [("Ready", vec![result.clone()]), ("Inspect", vec![next("finish")])];
        let expected = format!("{START} Ready Inspect Decide Finish");
        assert_eq!(path(&script), expected, "{result:?}");
        let script = [("StopTask", vec![result.clone()])];
        assert_eq!(path(&script), format!("{START} Ready StopTask Finish"), "{result:?}");
    }
}

#[test]
fn waiting_for_running_and_for_stopped_is_limited_to_five_minutes() {
    for (state, after) in [("WaitRunning", "Inspect"), ("StopTask", "Finish")] {
        let mut driver =
            session(&[(state, vec![TaskResult::Timeout]), ("Inspect", vec![next("finish")])]);
        driver.run(json!({ "sessionId": "sh_1" }));
        assert_eq!(driver.now.0, 300_000, "{state}");
        let line = format!("300000 {after} StateEntered");
        assert!(driver.lines().contains(&line), "{state}");
    }
}

#[test]
fn a_lack_of_capacity_is_retried_with_backoff() {
    let mut driver = session(&[("Provision", vec![TaskResult::Error("CapacityUnavailable"); 7])]);
    driver.run(json!({ "sessionId": "sh_1" }));
    assert_eq!(driver.states(), ["Provision", "Finish"]);
    assert_eq!(driver.now.0, (5 + 10 + 20 + 40 + 60 + 60) * 1000);
    let expected = json!({ "sessionId": "sh_1", "error": "CapacityUnavailable" });
    assert_eq!(driver.last_input(), &expected);
}

#[test]
fn a_permanent_provisioning_error_closes_the_session_with_that_error() {
    for failure in ["StopRequested", "BadInput"] {
        let mut driver = session(&[("Provision", vec![TaskResult::Error(failure)])]);
        driver.run(json!({ "sessionId": "sh_1" }));
        assert_eq!(driver.states(), ["Provision", "Finish"]);
        assert_eq!(driver.last_input()["error"], failure);
    }
    let mut driver = session(&[("Provision", vec![TaskResult::Timeout; 6])]);
    driver.run(json!({ "sessionId": "sh_1" }));
    assert_eq!(driver.last_input()["error"], "States.Timeout");
    assert_eq!(driver.now.0, (6 * 60 + 2 + 4 + 8 + 16 + 30) * 1000);
}

#[test]
fn a_successful_second_provisioning_clears_the_error_of_the_first() {
    let mut driver = session(&[
        ("WaitRunning", vec![TaskResult::Timeout, wait(60)]),
        ("Provision", vec![done(), done()]),
        ("Inspect", vec![next("provision")]),
        ("StopTask", vec![TaskResult::Timeout]),
    ]);
    driver.run(json!({ "sessionId": "sh_1" }));
    assert_eq!(driver.last_input(), &json!({ "sessionId": "sh_1", "error": null }));
}

#[test]
fn transient_errors_are_retried_in_every_task() {
    let states = ["Provision", "WaitRunning", "Inspect", "Ready", "StopTask", "Finish"];
    for state in states {
        for name in TRANSIENT {
            let good = match state {
                "WaitRunning" => wait(3600),
                "Inspect" | "Ready" => next("stop"),
                _ => done(),
            };
            let mut script = vec![(state, vec![TaskResult::Error(name), good])];
            if state == "Inspect" {
                script.push(("Ready", vec![TaskResult::Timeout]));
            }
            if state == "Finish" {
                script.push(("StopTask", vec![TaskResult::Timeout]));
            }
            let mut driver = session(&script);
            let outcome = driver.run(json!({ "sessionId": "sh_1" }));
            assert!(matches!(outcome, Outcome::Succeeded { .. }), "{state} {name}");
            let again = driver.invocations.iter().filter(|i| i.task.state == state).count();
            assert_eq!(again, 2, "{state} {name}");
        }
    }
}

#[test]
fn a_permanent_error_still_leads_to_the_end() {
    let all: Vec<TaskResult> = vec![TaskResult::Error("Permanent"); 20];
    let script = [("Ready", vec![TaskResult::Timeout]), ("Inspect", all.clone())];
    let mut driver = session(&script);
    driver.run(json!({ "sessionId": "sh_1" }));
    assert_eq!(driver.states().join(" "), format!("{START} Ready Inspect {END}"));
    assert_eq!(path(&[("StopTask", all.clone())]), format!("{START} Ready StopTask Finish"));

    let mut driver = session(&[("StopTask", vec![TaskResult::Timeout]), ("Finish", all)]);
    assert_eq!(error(&driver.run(json!({ "sessionId": "sh_1" }))), "Permanent");
    assert_eq!(driver.invocations.iter().filter(|i| i.task.state == "Finish").count(), 9);
}

#[test]
fn every_task_has_a_timeout() {
    let definition: Value = serde_json::from_str(DEFINITION).unwrap();
    for (name, state) in definition["States"].as_object().unwrap() {
        if state["Type"] == "Task" {
            let has = |field: &str| state.get(field).is_some();
            assert!(has("TimeoutSeconds") || has("TimeoutSecondsPath"), "{name}");
        }
    }
}
