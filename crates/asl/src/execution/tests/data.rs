//! The data flow of a state.

use super::{Driver, TaskResult, error, output, single};
use crate::{Execution, Millis, Outcome};
use serde_json::{Value, json};

fn run(state: Value, input: Value) -> Outcome {
    Driver::new(&single(state)).run(input)
}

fn run_task(fields: Value, input: Value, result: Value) -> (Outcome, Value) {
    let mut state = fields;
    state["Type"] = "Task".into();
    state["Resource"] = "r".into();
    let mut driver = Driver::new(&single(state)).answer("S", [TaskResult::Output(result)]);
    let outcome = driver.run(input);
    (outcome, driver.last_input().clone())
}

#[test]
fn a_pass_state_outputs_its_result_or_its_input() {
    let input = json!({ "a": { "b": 1 }, "c": 2 });
    let table = [
        (json!({}), input.clone()),
        (json!({ "Result": 5 }), json!(5)),
        (json!({ "Result": null }), Value::Null),
        (json!({ "Result": 5, "ResultPath": "$.c" }), json!({ "a": { "b": 1 }, "c": 5 })),
        (json!({ "Result": 5, "ResultPath": null }), input.clone()),
        (json!({ "InputPath": "$.a" }), json!({ "b": 1 })),
        (json!({ "InputPath": null }), json!({})),
        (
            json!({ "InputPath": "$.a", "ResultPath": "$.d" }),
            json!({ "a": { "b": 1 }, "c": 2, "d": { "b": 1 } }),
        ),
        (json!({ "InputPath": "$.a", "Parameters": { "x.$": "$.b" } }), json!({ "x": 1 })),
        (
            json!({ "Parameters": { "x": [{ "y.$": "$.c" }] }, "OutputPath": "$.x[0]" }),
            json!({ "y": 2 }),
        ),
        (json!({ "OutputPath": "$.c" }), json!(2)),
        (json!({ "OutputPath": null }), json!({})),
    ];
    for (mut state, expected) in table {
        state["Type"] = "Pass".into();
        assert_eq!(run(state.clone(), input.clone()), output(expected), "{state}");
    }
}

#[test]
fn a_task_applies_its_five_data_fields_in_order() {
    let (outcome, given) = run_task(
        json!({
            "InputPath": "$.order",
            "Parameters": { "id.$": "$.id", "fixed": true, "text.$": "States.Format('#{}', $.id)" },
            "ResultSelector": { "total.$": "$.sum" },
            "ResultPath": "$.order.bill",
            "OutputPath": "$.order",
        }),
        json!({ "order": { "id": 7 }, "other": 1 }),
        json!({ "sum": 12, "noise": 0 }),
    );
    assert_eq!(given, json!({ "id": 7, "fixed": true, "text": "#7" }));
    assert_eq!(outcome, output(json!({ "id": 7, "bill": { "total": 12 } })));
}

#[test]
fn a_null_result_path_keeps_the_raw_input() {
    let input = json!({ "a": 1 });
    let (outcome, given) =
        run_task(json!({ "InputPath": null, "ResultPath": null }), input.clone(), json!([1]));
    assert_eq!((outcome, given), (output(input), json!({})));
}

#[test]
fn the_context_object_is_accessible() {
    let parameters = json!({
        "id.$": "$$.Execution.Id", "name.$": "$$.Execution.Name", "input.$": "$$.Execution.Input",
        "start.$": "$$.Execution.StartTime", "state.$": "$$.State.Name",
        "entered.$": "$$.State.EnteredTime", "retries.$": "$$.State.RetryCount",
        "machine.$": "$$.StateMachine.Name", "all.$": "$$.StateMachine",
        "role.$": "$$.Execution.RoleArn", "redrives.$": "$$.Execution.RedriveCount",
    });
    let state = json!({ "Type": "Task", "Resource": "r", "Parameters": parameters });
    let mut driver = Driver::new(&single(state)).answer("S", [TaskResult::Output(json!(1))]);
    driver.machine = driver.machine.named("M");
    driver.now = Millis(1_700_000_000_123);
    driver.run(json!({ "a": 1 }));
    let time = "2023-11-14T22:13:20.123Z";
    let machine = "arn:aws:states:us-east-1:000000000000:stateMachine:M";
    let expected = json!({
        "id": "arn:aws:states:us-east-1:000000000000:execution:M:run", "name": "run",
        "input": { "a": 1 }, "start": time, "state": "S", "entered": time, "retries": 0,
        "machine": "M", "all": { "Id": machine, "Name": "M" },
        "role": "arn:aws:iam::000000000000:role/M", "redrives": 0,
    });
    assert_eq!(driver.last_input(), &expected);
}

#[test]
fn the_context_object_of_a_pass_state_has_no_retry_count_and_no_task() {
    let outcome = run(json!({ "Type": "Pass", "InputPath": "$$" }), json!({ "a": 1 }));
    let Outcome::Succeeded { output: context } = outcome else { panic!("{outcome:?}") };
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&context), ["Execution", "State", "StateMachine"]);
    let execution = ["Id", "Input", "Name", "RedriveCount", "RoleArn", "StartTime"];
    assert_eq!(keys(&context["Execution"]), execution);
    assert_eq!(keys(&context["State"]), ["EnteredTime", "Name"]);
}

#[test]
fn a_path_that_selects_nothing_fails_the_execution() {
    let table = [
        json!({ "Type": "Pass", "InputPath": "$.x" }),
        json!({ "Type": "Pass", "OutputPath": "$.x" }),
        json!({ "Type": "Pass", "Parameters": { "a.$": "$.x" } }),
        json!({ "Type": "Pass", "Parameters": { "a.$": "States.Array($.x)" } }),
        json!({ "Type": "Pass", "Parameters": { "a.$": "$$.Task.Token" } }),
        json!({ "Type": "Wait", "SecondsPath": "$.x" }),
        json!({ "Type": "Wait", "SecondsPath": "$.text" }),
        json!({ "Type": "Wait", "SecondsPath": "$.negative" }),
        json!({ "Type": "Wait", "TimestampPath": "$.text" }),
        json!({ "Type": "Succeed", "InputPath": "$.x" }),
        json!({ "Type": "Fail", "ErrorPath": "$.x" }),
        json!({ "Type": "Fail", "CausePath": "$.negative" }),
        json!({ "Type": "Task", "Resource": "r", "TimeoutSecondsPath": "$.negative" }),
        json!({ "Type": "Task", "Resource": "r", "HeartbeatSecondsPath": "$.zero" }),
    ];
    for state in table {
        let outcome = run(state.clone(), json!({ "text": "t", "negative": -1, "zero": 0 }));
        assert_eq!(error(&outcome), "States.Runtime", "{state}");
    }
}

#[test]
fn data_errors_have_distinct_names() {
    let pass = |fields: Value| {
        let mut state = fields;
        state["Type"] = "Pass".into();
        run(state, json!({ "a": 1 }))
    };
    let intrinsic = pass(json!({ "Parameters": { "x.$": "States.ArrayLength($.a)" } }));
    assert_eq!(error(&intrinsic), "States.IntrinsicFailure");
    let result_path = pass(json!({ "Result": 1, "ResultPath": "$.a.b" }));
    assert_eq!(error(&result_path), "States.ResultPathMatchFailure");
    let definition = json!({ "StartAt": "C", "States": {
        "C": { "Type": "Choice", "Choices": [{ "Variable": "$.a", "IsNull": true, "Next": "S" }] },
        "S": { "Type": "Succeed" },
    } });
    assert_eq!(error(&Driver::new(&definition).run(json!({ "a": 1 }))), "States.NoChoiceMatched");
}

#[test]
fn a_payload_is_limited_to_256_kib() {
    let of = |bytes: usize| json!("x".repeat(bytes - 2));
    let limit = 256 * 1024;
    assert_eq!(run(json!({ "Type": "Pass" }), of(limit)), output(of(limit)));
    let machine = crate::Machine::parse(&single(json!({ "Type": "Pass" })).to_string()).unwrap();
    let mut started = Execution::start(&machine, "run", of(limit + 1), Millis(0));
    let step = started.step(&machine, Millis(0), &mut super::History::default());
    assert!(
        matches!(step, crate::Step::Done(outcome) if error(&outcome) == "States.DataLimitExceeded")
    );

    let (outcome, _) = run_task(json!({ "ResultPath": null }), json!({}), of(limit + 1));
    assert_eq!(error(&outcome), "States.DataLimitExceeded");
    let doubled = json!({ "Type": "Pass", "Parameters": { "a.$": "$", "b.$": "$" } });
    assert_eq!(error(&run(doubled, of(limit))), "States.DataLimitExceeded");
    let (outcome, _) =
        run_task(json!({ "ResultPath": "$.more" }), json!({ "a": of(limit / 2) }), of(limit / 2));
    assert_eq!(error(&outcome), "States.DataLimitExceeded");
}

#[test]
fn a_choice_follows_the_first_rule_that_holds() {
    let definition = json!({ "StartAt": "C", "States": {
        "C": { "Type": "Choice", "InputPath": "$.in", "OutputPath": "$.keep", "Default": "D", "Choices": [
            { "Variable": "$.n", "NumericLessThan": 10, "Next": "A" },
            { "Variable": "$.n", "NumericLessThan": 20, "Next": "B" },
        ] },
        "A": { "Type": "Succeed" }, "B": { "Type": "Succeed" }, "D": { "Type": "Succeed" },
    } });
    for (n, state) in [(5, "A"), (15, "B"), (25, "D")] {
        let mut driver = Driver::new(&definition);
        let outcome = driver.run(json!({ "in": { "n": n, "keep": n } }));
        assert_eq!((outcome, driver.states()), (output(json!(n)), vec!["C", state]));
    }
}

#[test]
fn a_fail_state_reports_its_error_and_cause() {
    let failed = |state: Value| match run(state, json!({ "e": "E", "c": "because" })) {
        Outcome::Failed(failure) => {
            (failure.error.unwrap_or_default(), failure.cause.unwrap_or_default())
        }
        Outcome::Succeeded { .. } | Outcome::TimedOut => panic!("expected a failure"),
    };
    let of = |error: &str, cause: &str| (error.to_owned(), cause.to_owned());
    assert_eq!(failed(json!({ "Type": "Fail" })), of("", ""));
    assert_eq!(failed(json!({ "Type": "Fail", "Error": "E1", "Cause": "c1" })), of("E1", "c1"));
    assert_eq!(
        failed(json!({ "Type": "Fail", "ErrorPath": "$.e", "CausePath": "$.c" })),
        of("E", "because")
    );
    let format = json!({ "Type": "Fail", "CausePath": "States.Format('It is {}.', $.c)" });
    assert_eq!(failed(format), of("", "It is because."));
}

#[test]
fn the_lambda_integration_wraps_the_result_of_the_function() {
    let state = json!({
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": { "FunctionName.$": "$.f", "Payload": { "x.$": "$.x" } },
        "ResultSelector": { "y.$": "$.Payload.y", "code.$": "$.StatusCode" },
    });
    let mut driver =
        Driver::new(&single(state)).answer("S", [TaskResult::Output(json!({ "y": 2 }))]);
    let outcome = driver.run(json!({ "f": "function", "x": 1 }));
    assert_eq!(outcome, output(json!({ "y": 2, "code": 200 })));
    assert_eq!(driver.invocations[0].resource, "function");
    assert_eq!(driver.last_input(), &json!({ "x": 1 }));
    let mut nameless = Driver::new(&single(json!({
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": { "FunctionName.$": "$.f" },
    })));
    assert_eq!(error(&nameless.run(json!({ "f": 1 }))), "States.Runtime");
}
