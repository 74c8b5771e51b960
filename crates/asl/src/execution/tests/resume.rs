//! Early, late and repeated answers; stored and reloaded executions; changed definitions.

use super::{Driver, History, TaskResult, error, output, single};
use crate::{
    Execution, Failure, Invocation, Machine, Millis, StaleAnswerError, Step, TaskRef, execution_of,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn token_state() -> Value {
    json!({
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": { "FunctionName": "f", "Payload": { "token.$": "$$.Task.Token" } },
        "TimeoutSeconds": 100, "Retry": [{ "ErrorEquals": ["E"], "IntervalSeconds": 1 }],
    })
}

/// An execution that waits for the first answer to its only state.
fn started(state: Value) -> (Machine, Execution, Invocation) {
    let machine = Machine::parse(&single(state).to_string()).unwrap();
    let mut execution = Execution::start(&machine, "sh_1.x", json!({ "in": 1 }), Millis(0));
    let call = invocation(&machine, &mut execution, 0);
    (machine, execution, call)
}

fn step(machine: &Machine, execution: &mut Execution, now: i64) -> Step {
    execution.step(machine, Millis(now), &mut History { events: Vec::new(), random: 0xab })
}

fn invocation(machine: &Machine, execution: &mut Execution, now: i64) -> Invocation {
    let step = step(machine, execution, now);
    let Step::Invoke(call) = step else { panic!("expected an invocation, not {step:?}") };
    call
}

#[test]
fn an_invocation_is_repeated_until_its_answer_arrives() {
    let (machine, mut execution, call) = started(json!({ "Type": "Task", "Resource": "r" }));
    let stored = serde_json::to_string(&execution).unwrap();
    let mut reloaded: Execution = serde_json::from_str(&stored).unwrap();
    assert_eq!(invocation(&machine, &mut reloaded, 50_000), call);
    execution.returned(&call.task, Ok(json!("done"))).unwrap();
    assert_eq!(step(&machine, &mut execution, 60_000), Step::Done(output(json!("done"))));
}

#[test]
fn an_execution_stored_by_an_earlier_version_continues() {
    let attempt = json!({ "number": 1, "resource": "r", "input": {}, "token": null,
        "submitted": false, "deadline": 99_999_999_000_i64, "heartbeat": null,
        "answer": { "Err": { "error": "E", "cause": "why" } } });
    let visit = json!({ "state": "S", "input": { "in": 1 }, "entered_at": 0, "retries": [] });
    let stored = json!({ "name": "run", "input": { "in": 1 }, "started_at": 0, "attempts": 1,
        "events": 2, "doing": { "Working": { "visit": visit, "attempt": attempt } } });
    let mut execution: Execution = serde_json::from_value(stored).unwrap();
    let retry = json!([{ "ErrorEquals": ["E"] }]);
    let state = single(json!({ "Type": "Task", "Resource": "r", "Retry": retry }));
    let machine = Machine::parse(&state.to_string()).unwrap();
    assert_eq!(step(&machine, &mut execution, 0), Step::Sleep { until: Millis(1_000) });
    let call = invocation(&machine, &mut execution, 1_000);
    execution.returned(&call.task, Ok(json!("done"))).unwrap();
    assert_eq!(step(&machine, &mut execution, 2_000), Step::Done(output(json!("done"))));
}

#[test]
fn a_token_names_its_execution() {
    let (_, _, call) = started(token_state());
    let token = call.token.unwrap();
    assert_eq!(token, "sh_1.x.1.00000000000000ab00000000000000ab");
    assert_eq!(call.input, json!({ "token": token }));
    assert_eq!(execution_of(&token), Some("sh_1.x"));
    for text in ["", "run", "run.1", "run.1.short", "..", ".1.00000000000000ab00000000000000ab"] {
        assert_eq!(execution_of(text), None, "{text}");
    }
}

#[test]
fn the_result_of_a_call_with_a_token_only_acknowledges_the_token() {
    let (machine, mut execution, call) = started(token_state());
    execution.returned(&call.task, Ok(json!("ignored"))).unwrap();
    let waiting = Step::AwaitToken { until: Millis(100_000) };
    assert_eq!(step(&machine, &mut execution, 1), waiting);
    let again = Err(Failure::new("Lambda.Unknown", "a second call of the same attempt"));
    assert_eq!(execution.returned(&call.task, again), Err(StaleAnswerError));
    execution.answered(call.token.as_deref().unwrap(), Ok(json!("real"))).unwrap();
    assert_eq!(step(&machine, &mut execution, 2), Step::Done(output(json!("real"))));
}

#[test]
fn a_token_may_be_answered_before_the_call_returns() {
    let (machine, mut execution, call) = started(token_state());
    execution.answered(call.token.as_deref().unwrap(), Ok(json!("early"))).unwrap();
    let failed = Err(Failure::new("Lambda.Unknown", ""));
    assert_eq!(execution.returned(&call.task, failed), Err(StaleAnswerError));
    assert_eq!(step(&machine, &mut execution, 1), Step::Done(output(json!("early"))));
    assert_eq!(execution.returned(&call.task, Ok(json!(null))), Err(StaleAnswerError));
}

#[test]
fn a_failed_call_fails_the_task_that_waits_for_its_token() {
    let (machine, mut execution, call) = started(token_state());
    execution.returned(&call.task, Err(Failure::new("Other", "why"))).unwrap();
    let end = step(&machine, &mut execution, 1);
    assert!(matches!(end, Step::Done(outcome) if error(&outcome) == "Other"));
}

#[test]
fn late_foreign_and_repeated_answers_change_nothing() {
    let (machine, mut execution, first) = started(token_state());
    let old = first.token.unwrap();
    execution.answered(&old, Err(Failure::new("E", "again"))).unwrap();
    assert_eq!(execution.answered(&old, Ok(json!("second"))), Err(StaleAnswerError));
    assert_eq!(step(&machine, &mut execution, 0), Step::Sleep { until: Millis(1_000) });
    assert_eq!(execution.answered(&old, Ok(json!("while retrying"))), Err(StaleAnswerError));
    let second = invocation(&machine, &mut execution, 1_000);
    assert_eq!(second.task, TaskRef { attempt: 2, ..first.task.clone() });
    assert_ne!(second.token.as_ref(), Some(&old));

    let before = serde_json::to_value(&execution).unwrap();
    assert_eq!(execution.answered(&old, Ok(json!("late"))), Err(StaleAnswerError));
    assert_eq!(execution.answered("sh_1.x.2.guess", Ok(json!("guess"))), Err(StaleAnswerError));
    assert_eq!(execution.heartbeat(&old, Millis(1_500)), Err(StaleAnswerError));
    assert_eq!(execution.returned(&first.task, Ok(json!("late"))), Err(StaleAnswerError));
    let foreign = TaskRef { execution: "other".into(), ..second.task.clone() };
    assert_eq!(execution.returned(&foreign, Ok(json!("foreign"))), Err(StaleAnswerError));
    let elsewhere = TaskRef { state: "X".into(), ..second.task };
    assert_eq!(execution.returned(&elsewhere, Ok(json!("elsewhere"))), Err(StaleAnswerError));
    assert_eq!(serde_json::to_value(&execution).unwrap(), before);
}

#[test]
fn a_finished_execution_never_changes() {
    let (machine, mut execution, call) = started(json!({ "Type": "Task", "Resource": "r" }));
    execution.returned(&call.task, Ok(json!(1))).unwrap();
    for now in [1, 1_000_000_000_000] {
        assert_eq!(step(&machine, &mut execution, now), Step::Done(output(json!(1))));
    }
    assert_eq!(execution.returned(&call.task, Ok(json!(2))), Err(StaleAnswerError));
}

#[test]
fn a_changed_definition_fails_the_execution_without_a_panic() {
    let other = |definition: Value| Machine::parse(&definition.to_string()).unwrap();
    let removed = other(json!({ "StartAt": "X", "States": { "X": { "Type": "Succeed" } } }));
    let retyped = other(single(json!({ "Type": "Succeed" })));
    for changed in [removed, retyped] {
        let (_, mut execution, call) = started(json!({ "Type": "Task", "Resource": "r" }));
        execution.returned(&call.task, Ok(json!(1))).unwrap();
        let end = step(&changed, &mut execution, 1);
        assert!(matches!(end, Step::Done(outcome) if error(&outcome) == "States.Runtime"));

        let machine = other(single(json!({ "Type": "Wait", "Seconds": 1 })));
        let mut execution = Execution::start(&machine, "run", json!({}), Millis(0));
        assert_eq!(step(&machine, &mut execution, 0), Step::Sleep { until: Millis(1_000) });
        let end = step(&changed, &mut execution, 1_000);
        assert!(matches!(end, Step::Done(outcome) if error(&outcome) == "States.Runtime"));
    }
}

#[test]
fn debug_output_contains_no_payload_and_no_token() {
    let (machine, mut execution, call) = started(token_state());
    let token = call.token.clone().unwrap();
    let mut seen = format!("{call:?} {execution:?}");
    execution.answered(&token, Err(Failure::new("Known", "the secret cause"))).unwrap();
    seen += &format!(" {:?}", step(&machine, &mut execution, 1));
    let events = History { events: Vec::new(), random: 0xab };
    seen += &format!(" {:?}", events.events);
    assert!(seen.contains("Known") && seen.contains("sh_1.x"), "{seen}");
    for secret in [token.as_str(), "secret", "00ab", "\"in\""] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}

fn results() -> impl Strategy<Value = Vec<TaskResult>> {
    let wait = json!({ "action": "wait", "waitSeconds": 60 });
    let others = ["provision", "await_running", "await_stopped", "stop", "finish", "what"];
    let mut choices =
        vec![Just(TaskResult::Timeout).boxed(), Just(TaskResult::Output(wait)).boxed()];
    choices
        .extend(others.map(|action| Just(TaskResult::Output(json!({ "action": action }))).boxed()));
    let errors = ["Backend", "CapacityUnavailable", "StopRequested", "Lambda.Unknown"];
    choices.extend(errors.map(|error| Just(TaskResult::Error(error)).boxed()));
    let result = proptest::strategy::Union::new(choices);
    proptest::collection::vec(result, 400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_execution_reloaded_and_stepped_twice_everywhere_has_the_same_history(results in results()) {
        let definition: Value = serde_json::from_str(super::session::DEFINITION).unwrap();
        let mut plain = Driver::new(&definition);
        // Each state takes its own section of the random results.
        for (at, state) in ["Provision", "WaitRunning", "Inspect", "Ready", "StopTask", "Finish"].iter().enumerate() {
            plain = plain.answer(state, results.iter().skip(at * 57).take(57).cloned());
        }
        let mut reloading = Driver::new(&definition).reloading();
        reloading.answers = plain.answers.clone();
        let run = |driver: &mut Driver| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| driver.run(json!({ "sessionId": "sh_1" }))))
        };
        let (one, other) = (run(&mut plain), run(&mut reloading));
        prop_assert_eq!(one.ok(), other.ok());
        prop_assert_eq!(plain.history.events, reloading.history.events);
    }
}
