//! Waits, timeouts, heartbeats and the timeout of a machine.

use super::{Driver, History, TaskResult, error, output, single};
use crate::{Execution, Machine, Millis, Outcome, StaleAnswerError, Step};
use serde_json::{Value, json};

#[test]
fn a_wait_ends_at_its_time() {
    let table = [
        (json!({ "Seconds": 30 }), 30_000),
        (json!({ "Seconds": 0 }), 0),
        (json!({ "SecondsPath": "$.s" }), 12_000),
        (json!({ "Timestamp": "1970-01-01T00:00:20.5Z" }), 20_500),
        (json!({ "TimestampPath": "$.t" }), 40_000),
        (json!({ "Timestamp": "1969-01-01T00:00:00Z" }), 0),
    ];
    let input = json!({ "s": 12, "t": "1970-01-01T01:00:40+01:00" });
    for (mut state, expected) in table {
        state["Type"] = "Wait".into();
        let mut driver = Driver::new(&single(state.clone()));
        assert_eq!(driver.run(input.clone()), output(input.clone()));
        assert_eq!(driver.now.0, expected, "{state}");
    }
}

#[test]
fn a_task_times_out_without_an_answer() {
    let table = [
        (json!({ "TimeoutSeconds": 7 }), 7_000),
        (json!({ "TimeoutSecondsPath": "$.s" }), 12_000),
        (json!({ "TimeoutSeconds": 7, "HeartbeatSeconds": 3 }), 3_000),
        (json!({ "TimeoutSeconds": 20, "HeartbeatSecondsPath": "$.s" }), 12_000),
        (json!({}), 99_999_999_000),
    ];
    for (mut state, expected) in table {
        state["Type"] = "Task".into();
        state["Resource"] = "r".into();
        let mut driver = Driver::new(&single(state.clone())).answer("S", [TaskResult::Timeout]);
        assert_eq!(error(&driver.run(json!({ "s": 12 }))), "States.Timeout");
        assert_eq!(driver.now.0, expected, "{state}");
        assert_eq!(driver.lines().last().unwrap(), &format!("{expected} S TaskTimedOut"));
    }
}

#[test]
fn the_timeout_of_the_machine_ends_the_execution_and_is_not_caught() {
    let definition = json!({ "StartAt": "T", "TimeoutSeconds": 10, "States": {
        "T": { "Type": "Task", "Resource": "r", "Next": "W",
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "W" }] },
        "W": { "Type": "Wait", "Seconds": 60, "End": true },
    } });
    for result in [TaskResult::Timeout, TaskResult::Output(json!(1))] {
        let mut driver = Driver::new(&definition).answer("T", [result]);
        assert_eq!(driver.run(json!({})), Outcome::TimedOut);
        assert_eq!(driver.now.0, 10_000);
    }
}

#[test]
fn an_endless_loop_is_ended() {
    let definition = json!({ "StartAt": "P", "States": {
        "P": { "Type": "Pass", "Next": "C" },
        "C": { "Type": "Choice", "Default": "P",
            "Choices": [{ "Variable": "$.out", "IsPresent": true, "Next": "S" }] },
        "S": { "Type": "Succeed" },
    } });
    let mut driver = Driver::new(&definition);
    assert_eq!(error(&driver.run(json!({}))), "States.Runtime");
    assert_eq!(driver.history.events.len(), 25_000);
}

fn token_machine() -> Machine {
    let state: Value = json!({
        "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": { "Token.$": "$$.Task.Token" }, "TimeoutSeconds": 100, "HeartbeatSeconds": 10,
        "Retry": [{ "ErrorEquals": ["E"], "IntervalSeconds": 1 }],
    });
    Machine::parse(&single(state).to_string()).unwrap()
}

#[test]
fn heartbeats_keep_a_task_alive_until_its_deadline() {
    let machine = token_machine();
    let mut host = History::default();
    let mut execution = Execution::start(&machine, "run", json!({}), Millis(0));
    let Step::Invoke(call) = execution.step(&machine, Millis(0), &mut host) else { panic!() };
    let token = call.token.unwrap();
    assert_eq!(call.input, json!({ "Token": token }));
    assert_eq!(call.until, Millis(10_000));
    execution.returned(&call.task, Ok(json!("ignored"))).unwrap();
    for beat in (9_000..=99_000).step_by(9_000) {
        execution.heartbeat(&token, Millis(beat)).unwrap();
        let until = Millis((beat + 10_000).min(100_000));
        assert_eq!(execution.step(&machine, Millis(beat), &mut host), Step::AwaitToken { until });
    }
    let end = execution.step(&machine, Millis(100_000), &mut host);
    assert!(matches!(end, Step::Done(outcome) if error(&outcome) == "States.Timeout"));
    assert_eq!(execution.heartbeat(&token, Millis(100_001)), Err(StaleAnswerError));
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let machine =
        Machine::parse(&single(json!({ "Type": "Wait", "Seconds": 5 })).to_string()).unwrap();
    let mut host = History::default();
    let mut execution = Execution::start(&machine, "run", json!(1), Millis(1_000));
    let sleep = Step::Sleep { until: Millis(6_000) };
    assert_eq!(execution.step(&machine, Millis(1_000), &mut host), sleep);
    assert_eq!(execution.step(&machine, Millis(-50_000), &mut host), sleep);
    assert_eq!(execution.step(&machine, Millis(6_000), &mut host), Step::Done(output(json!(1))));
}
