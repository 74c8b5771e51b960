//! Every branch of `statemachine/session.asl.json`.

use super::{Act, Driver, error};
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

fn next(action: &str) -> Act {
    Act::Output(json!({ "action": action }))
}

fn wait(seconds: u64) -> Act {
    Act::Output(json!({ "action": "wait", "waitSeconds": seconds }))
}

fn done() -> Act {
    Act::Output(json!({}))
}

fn driver() -> Driver {
    Driver::new(&serde_json::from_str(DEFINITION).unwrap())
}

/// A session with these states scripted; those that are not end well at once.
fn session(script: &[(&str, Vec<Act>)]) -> Driver {
    let happy = [
        ("Provision", vec![done()]),
        ("WaitRunning", vec![wait(3600)]),
        ("Ready", vec![next("stop")]),
        ("StopTask", vec![done()]),
        ("WaitStopped", vec![next("finish")]),
        ("Finish", vec![done()]),
    ];
    let mut driver = driver();
    for (state, acts) in script {
        driver = driver.answer(state, acts.clone());
    }
    for (state, acts) in happy {
        if !script.iter().any(|(scripted, _)| *scripted == state) {
            driver = driver.answer(state, acts);
        }
    }
    driver
}

/// Runs the session to its end: the states after `Provision` and `WaitRunning` if both went well.
fn path(script: &[(&str, Vec<Act>)]) -> String {
    let mut driver = session(script);
    let outcome = driver.run(json!({ "sessionId": "sh_1" }));
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    driver.states().join(" ")
}

const START: &str = "Provision WaitRunning Decide";
const END: &str = "StopTask WaitStopped Finish Done";

#[test]
fn the_happy_path_takes_nine_transitions() {
    let mut driver = session(&[]);
    driver.run(json!({ "sessionId": "sh_1" }));
    let states = driver.states();
    assert_eq!(states.join(" "), format!("{START} Ready Decide {END}"));
    assert_eq!(states.len(), 9);
}

#[test]
fn handlers_get_the_session_and_where_they_wait_a_token() {
    let mut driver = session(&[]);
    driver.run(json!({ "sessionId": "sh_1" }));
    let calls: Vec<_> = driver.invocations.iter().map(|i| i.resource.as_str()).collect();
    let expected = [
        "${ProvisionTask}",
        "${AwaitRunning}",
        "${AwaitEnd}",
        "${StopTask}",
        "${AwaitStopped}",
        "${CloseSession}",
    ];
    assert_eq!(calls, expected);
    for call in &driver.invocations {
        let expected = match (&call.token, call.resource.as_str()) {
            (Some(token), "${AwaitEnd}") => {
                json!({ "sessionId": "sh_1", "token": token, "waitSeconds": 3600 })
            }
            (Some(token), _) => json!({ "sessionId": "sh_1", "token": token }),
            (None, "${CloseSession}") => json!({ "sessionId": "sh_1", "error": null }),
            (None, _) => json!({ "sessionId": "sh_1" }),
        };
        assert_eq!(call.input, expected, "{}", call.resource);
    }
}

#[test]
fn decide_goes_where_the_answer_says() {
    let table = [
        (wait(60), format!("{START} Ready Decide {END}")),
        (next("provision"), format!("{START} {START} Ready Decide {END}")),
        (next("await_running"), format!("{START} WaitRunning Decide Ready Decide {END}")),
        (next("stop"), format!("{START} {END}")),
        (next("await_stopped"), format!("{START} WaitStopped Finish Done")),
        (next("finish"), format!("{START} Finish Done")),
    ];
    for (act, expected) in table {
        let script =
            [("WaitRunning", vec![act.clone(), wait(60)]), ("Provision", vec![done(), done()])];
        assert_eq!(path(&script), expected, "{act:?}");
    }
}

#[test]
fn an_answer_that_makes_no_sense_stops_the_task() {
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
        let script = [("WaitRunning", vec![Act::Output(answer.clone())])];
        assert_eq!(path(&script), format!("{START} {END}"), "{answer}");
    }
}

#[test]
fn ready_waits_as_long_as_it_is_told_and_then_decides_afresh() {
    let mut driver = session(&[
        ("WaitRunning", vec![wait(100)]),
        ("Ready", vec![Act::Timeout, Act::Timeout]),
        ("Inspect", vec![wait(50), next("stop")]),
    ]);
    driver.run(json!({ "sessionId": "sh_1" }));
    let expected = format!("{START} Ready Inspect Decide Ready Inspect Decide {END}");
    assert_eq!(driver.states().join(" "), expected);
    assert_eq!(driver.now.0, 150_000);
}

#[test]
fn a_wait_that_fails_looks_at_the_record_again() {
    for act in [Act::Timeout, Act::Error("BadInput")] {
        let script = [("WaitRunning", vec![act.clone()]), ("Inspect", vec![next("finish")])];
        assert_eq!(path(&script), "Provision WaitRunning Inspect Decide Finish Done", "{act:?}");
        let script = [("Ready", vec![act.clone()]), ("Inspect", vec![next("await_stopped")])];
        let expected = format!("{START} Ready Inspect Decide WaitStopped Finish Done");
        assert_eq!(path(&script), expected, "{act:?}");
        let script = [("WaitStopped", vec![act.clone()])];
        assert_eq!(path(&script), format!("{START} Ready Decide {END}"), "{act:?}");
    }
}

#[test]
fn waiting_for_running_and_for_stopped_takes_five_minutes_at_most() {
    for (state, after) in [("WaitRunning", "Inspect"), ("WaitStopped", "Finish")] {
        let mut driver = session(&[(state, vec![Act::Timeout]), ("Inspect", vec![next("finish")])]);
        driver.run(json!({ "sessionId": "sh_1" }));
        assert_eq!(driver.now.0, 300_000, "{state}");
        let line = format!("300000 {after} StateEntered");
        assert!(driver.lines().contains(&line), "{state}");
    }
}

#[test]
fn a_lack_of_capacity_is_retried_with_growing_delays() {
    let mut driver = session(&[("Provision", vec![Act::Error("CapacityUnavailable"); 7])]);
    driver.run(json!({ "sessionId": "sh_1" }));
    assert_eq!(driver.states(), ["Provision", "Finish", "Done"]);
    assert_eq!(driver.now.0, (5 + 10 + 20 + 40 + 60 + 60) * 1000);
    let expected = json!({ "sessionId": "sh_1", "error": "CapacityUnavailable" });
    assert_eq!(driver.last_input(), &expected);
}

#[test]
fn provisioning_that_fails_for_good_is_finished_with_its_error() {
    for failure in ["StopRequested", "BadInput"] {
        let mut driver = session(&[("Provision", vec![Act::Error(failure)])]);
        driver.run(json!({ "sessionId": "sh_1" }));
        assert_eq!(driver.states(), ["Provision", "Finish", "Done"]);
        assert_eq!(driver.last_input()["error"], failure);
    }
    let mut driver = session(&[("Provision", vec![Act::Timeout; 6])]);
    driver.run(json!({ "sessionId": "sh_1" }));
    assert_eq!(driver.last_input()["error"], "States.Timeout");
    assert_eq!(driver.now.0, (6 * 60 + 2 + 4 + 8 + 16 + 30) * 1000);
}

#[test]
fn a_second_provisioning_that_works_forgets_the_error_of_the_first() {
    let mut driver = session(&[
        ("WaitRunning", vec![Act::Timeout, next("finish")]),
        ("Provision", vec![done(), done()]),
        ("Inspect", vec![next("provision")]),
    ]);
    driver.run(json!({ "sessionId": "sh_1" }));
    assert_eq!(driver.last_input(), &json!({ "sessionId": "sh_1", "error": null }));
}

#[test]
fn transient_errors_are_retried_in_every_task() {
    let states =
        ["Provision", "WaitRunning", "Inspect", "Ready", "StopTask", "WaitStopped", "Finish"];
    for state in states {
        for name in TRANSIENT {
            let good = match state {
                "WaitRunning" => wait(3600),
                "Inspect" | "Ready" => next("stop"),
                _ => done(),
            };
            let mut script = vec![(state, vec![Act::Error(name), good])];
            if state == "Inspect" {
                script.push(("Ready", vec![Act::Timeout]));
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
fn what_fails_for_good_still_leads_to_the_end() {
    let all: Vec<Act> = vec![Act::Error("Broken"); 20];
    let script = [("Ready", vec![Act::Timeout]), ("Inspect", all.clone())];
    let mut driver = session(&script);
    driver.run(json!({ "sessionId": "sh_1" }));
    assert_eq!(driver.states().join(" "), format!("{START} Ready Inspect {END}"));
    assert_eq!(driver.last_input()["error"], "Broken");
    assert_eq!(path(&[("StopTask", all.clone())]), format!("{START} Ready Decide {END}"));

    let mut driver = session(&[("Finish", all)]);
    assert_eq!(error(&driver.run(json!({ "sessionId": "sh_1" }))), "Broken");
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
