//! Retriers and catchers.

use super::{Driver, TaskResult, error, output};
use crate::Outcome;
use proptest::prelude::*;
use serde_json::{Value, json};

fn machine(retry: Value, catch: Value) -> Value {
    json!({ "StartAt": "T", "States": {
        "T": { "Type": "Task", "Resource": "r", "TimeoutSeconds": 10, "HeartbeatSeconds": 5,
            "Retry": retry, "Catch": catch, "Next": "Good" },
        "Good": { "Type": "Succeed" },
    } })
}

/// The outcome, and the start time of each attempt in milliseconds.
fn attempts(retry: Value, results: Vec<TaskResult>) -> (Outcome, Vec<i64>) {
    let mut driver = Driver::new(&machine(retry, json!([]))).answer("T", results);
    let outcome = driver.run(json!({}));
    let starts = driver.history.events.iter().filter(|e| e.kind.name() == "TaskScheduled");
    let starts = starts.map(|event| event.at.0).collect();
    (outcome, starts)
}

fn errors(names: &[&'static str]) -> Vec<TaskResult> {
    names.iter().map(|name| TaskResult::Error(name)).collect()
}

#[test]
fn retries_back_off_up_to_the_maximum_delay() {
    let retry = json!([{ "ErrorEquals": ["E"], "IntervalSeconds": 3, "BackoffRate": 2.5,
        "MaxAttempts": 4, "MaxDelaySeconds": 20 }]);
    let (outcome, starts) = attempts(retry, errors(&["E"; 5]));
    assert_eq!(error(&outcome), "E");
    assert_eq!(starts, [0, 3_000, 10_500, 29_250, 49_250]);
}

#[test]
fn the_defaults_are_three_retries_after_one_two_and_four_seconds() {
    let (_, starts) = attempts(json!([{ "ErrorEquals": ["E"] }]), errors(&["E"; 4]));
    assert_eq!(starts, [0, 1_000, 3_000, 7_000]);
}

#[test]
fn no_attempts_means_no_retry() {
    let retry =
        json!([{ "ErrorEquals": ["E"], "MaxAttempts": 0 }, { "ErrorEquals": ["States.ALL"] }]);
    let (outcome, starts) = attempts(retry, errors(&["E"]));
    assert_eq!((error(&outcome), starts), ("E", vec![0]));
}

/// "Handling errors in Step Functions workflows" of the Developer Guide, example 4.
#[test]
fn each_retrier_has_its_own_count_and_the_first_match_applies() {
    let retry = json!([
        { "ErrorEquals": ["A", "B"], "IntervalSeconds": 1, "BackoffRate": 2.0, "MaxAttempts": 2 },
        { "ErrorEquals": ["C"], "IntervalSeconds": 5 },
    ]);
    let catch = json!([{ "ErrorEquals": ["States.ALL"], "Next": "Good" }]);
    let mut driver = Driver::new(&machine(retry, catch)).answer("T", errors(&["A", "B", "C", "B"]));
    let outcome = driver.run(json!({ "in": 1 }));
    assert_eq!(outcome, output(json!({ "Error": "B", "Cause": "why" })));
    assert_eq!(driver.now.0, 1_000 + 2_000 + 5_000);
}

#[test]
fn retries_are_counted_per_visit() {
    let definition = json!({ "StartAt": "T", "States": {
        "T": { "Type": "Task", "Resource": "r", "Next": "T2",
            "Retry": [{ "ErrorEquals": ["E"], "MaxAttempts": 1 }] },
        "T2": { "Type": "Choice", "Default": "T",
            "Choices": [{ "Variable": "$.stop", "IsPresent": true, "Next": "Good" }] },
        "Good": { "Type": "Succeed" },
    } });
    let results = [
        TaskResult::Error("E"),
        TaskResult::Output(json!({})),
        TaskResult::Error("E"),
        TaskResult::Output(json!({ "stop": 1 })),
    ];
    let outcome = Driver::new(&definition).answer("T", results).run(json!({}));
    assert_eq!(outcome, output(json!({ "stop": 1 })));
}

#[test]
fn the_retry_count_is_in_the_context() {
    let definition = json!({ "StartAt": "T", "States": { "T": {
        "Type": "Task", "Resource": "r", "End": true,
        "Parameters": { "n.$": "$$.State.RetryCount", "t.$": "$$.State.EnteredTime" },
        "Retry": [{ "ErrorEquals": ["A"] }, { "ErrorEquals": ["B"] }],
    } } });
    let results = [TaskResult::Error("A"), TaskResult::Error("B"), TaskResult::Output(json!(1))];
    let mut driver = Driver::new(&definition).answer("T", results);
    driver.run(json!({}));
    let counts: Vec<_> = driver.invocations.iter().map(|i| i.input["n"].clone()).collect();
    assert_eq!(counts, [0, 1, 2]);
    let entered: Vec<_> = driver.invocations.iter().map(|i| i.input["t"].clone()).collect();
    assert_eq!(entered, vec![json!("1970-01-01T00:00:00.000Z"); 3]);
}

/// The error names that, in a catcher, catch this result of the task.
fn caught_by(result: &TaskResult) -> Vec<&'static str> {
    let names = [
        "E",
        "States.ALL",
        "States.TaskFailed",
        "States.Timeout",
        "States.HeartbeatTimeout",
        "States.DataLimitExceeded",
        "States.Runtime",
        "States.ResultPathMatchFailure",
    ];
    let catches = |name: &&&str| {
        let catch = json!([{ "ErrorEquals": [name], "Next": "Good" }]);
        let mut definition = machine(json!([]), catch);
        definition["States"]["T"]["ResultPath"] = "$.a.b".into();
        let mut driver = Driver::new(&definition).answer("T", [result.clone()]);
        matches!(driver.run(json!({ "a": 1 })), Outcome::Succeeded { .. })
    };
    names.iter().filter(catches).copied().collect()
}

#[test]
fn reserved_error_names_match_as_documented() {
    let too_much = TaskResult::Output("x".repeat(300_000).into());
    let table = [
        (TaskResult::Error("E"), vec!["E", "States.ALL", "States.TaskFailed"]),
        (TaskResult::Error("F"), vec!["States.ALL", "States.TaskFailed"]),
        (TaskResult::Error("States.Timeout"), vec!["States.ALL", "States.Timeout"]),
        (TaskResult::Error("States.Runtime"), vec![]),
        (too_much, vec!["States.ALL", "States.TaskFailed", "States.DataLimitExceeded"]),
        (TaskResult::Timeout, vec!["States.ALL", "States.Timeout", "States.HeartbeatTimeout"]),
        (
            TaskResult::Output(json!(1)),
            vec!["States.ALL", "States.TaskFailed", "States.ResultPathMatchFailure"],
        ),
    ];
    for (result, expected) in table {
        assert_eq!(caught_by(&result), expected, "{result:?}");
    }
}

#[test]
fn a_missed_heartbeat_is_reported_as_a_timeout() {
    let mut driver = Driver::new(&machine(json!([]), json!([]))).answer("T", [TaskResult::Timeout]);
    assert_eq!(error(&driver.run(json!({}))), "States.Timeout");
    assert_eq!(driver.now.0, 5_000);
    let catch = json!([{ "ErrorEquals": ["States.HeartbeatTimeout"], "Next": "Good" }]);
    let mut driver = Driver::new(&machine(json!([]), catch)).answer("T", [TaskResult::Timeout]);
    assert_eq!(driver.run(json!({})), output(json!({ "Error": "States.Timeout", "Cause": "" })));
}

#[test]
fn a_catcher_inserts_the_error_at_its_result_path() {
    let info = json!({ "Error": "E", "Cause": "why" });
    let table = [
        (json!("$"), Some(info.clone())),
        (json!("$.error"), Some(json!({ "in": 1, "error": info }))),
        (json!(null), Some(json!({ "in": 1 }))),
        (json!("$.in.error"), None),
    ];
    for (path, expected) in table {
        let catch = json!([{ "ErrorEquals": ["E"], "Next": "Good", "ResultPath": path }]);
        let mut driver =
            Driver::new(&machine(json!([]), catch)).answer("T", [TaskResult::Error("E")]);
        let outcome = driver.run(json!({ "in": 1 }));
        match expected {
            Some(expected) => assert_eq!(outcome, output(expected), "{path}"),
            None => assert_eq!(error(&outcome), "States.ResultPathMatchFailure", "{path}"),
        }
    }
}

#[test]
fn an_error_that_makes_the_payload_too_large_is_not_caught() {
    let catch = json!([{ "ErrorEquals": ["E"], "Next": "Good", "ResultPath": "$.error" }]);
    let mut driver = Driver::new(&machine(json!([]), catch)).answer("T", [TaskResult::Error("E")]);
    let outcome = driver.run(json!({ "full": "x".repeat(256 * 1024 - 20) }));
    assert_eq!(error(&outcome), "States.DataLimitExceeded");
}

#[test]
fn an_uncaught_error_ends_the_execution() {
    let catch = json!([{ "ErrorEquals": ["Other"], "Next": "Good" }]);
    let mut driver = Driver::new(&machine(json!([]), catch)).answer("T", [TaskResult::Error("E")]);
    assert_eq!(error(&driver.run(json!({}))), "E");
    assert_eq!(driver.lines(), ["0 T StateEntered", "0 T TaskScheduled", "0 T TaskFailed"]);
}

#[test]
fn full_jitter_waits_between_zero_and_the_whole_delay() {
    let retry = json!([{ "ErrorEquals": ["E"], "IntervalSeconds": 4, "JitterStrategy": "FULL" }]);
    for (random, until) in [(0, 0), (u64::MAX / 4, 1_000), (u64::MAX / 2, 2_000), (u64::MAX, 4_000)]
    {
        let results = [TaskResult::Error("E"), TaskResult::Output(json!(1))];
        let driver = Driver::new(&machine(retry.clone(), json!([]))).answer("T", results);
        let mut driver = driver.with_random(random);
        driver.run(json!({}));
        assert_eq!(driver.now.0, until, "{random}");
    }
}

proptest! {
    #[test]
    fn no_delay_exceeds_its_maximum(
        interval in 1_u64..100_000, rate in 1.0_f64..50.0, cap in 1_u64..31_622_400,
        earlier in 0_u32..5_000, random: u64, full_jitter: bool,
    ) {
        let retrier = crate::retry::Retrier {
            errors: vec![], interval_seconds: interval, max_attempts: 3, backoff_rate: rate,
            max_delay_seconds: Some(cap), full_jitter,
        };
        let delay = retrier.delay(earlier, || random);
        prop_assert!(0 <= delay && delay <= cap as i64 * 1000);
        prop_assert!(full_jitter || delay >= (interval.min(cap) * 1000) as i64);
    }
}
