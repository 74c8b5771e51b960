//! Values and causes as recorded in execution histories of AWS (LocalStack's validated snapshots).

use super::{Driver, TaskResult, error, output, single};
use crate::{Failure, Outcome};
use serde_json::{Value, json};

fn run(mut state: Value, input: Value) -> Outcome {
    if state["Type"].is_null() {
        state["Type"] = "Pass".into();
    }
    Driver::new(&single(state)).run(input)
}

/// Error name and cause of a failed execution.
fn failed(outcome: Outcome) -> (String, String) {
    match outcome {
        Outcome::Failed(failure) => {
            (failure.error.unwrap_or_default(), failure.cause.unwrap_or_default())
        }
        Outcome::Succeeded { .. } | Outcome::TimedOut => panic!("expected a failure: {outcome:?}"),
    }
}

/// The cause of a failure in the only state, without its common prefix.
fn cause(state: Value, input: Value) -> String {
    let (error, cause) = failed(run(state, input));
    assert_eq!(error, "States.Runtime");
    let prefix = "An error occurred while executing the state 'S' (entered at the event id #2). ";
    cause.strip_prefix(prefix).unwrap_or_else(|| panic!("no prefix: {cause}")).to_owned()
}

fn parameter(expression: &str, input: Value) -> Outcome {
    run(json!({ "Parameters": { "x.$": expression } }), input)
}

#[test]
fn an_indefinite_path_without_matches_is_an_empty_array_in_parameters() {
    let paths = [
        "$.orders[*].id",
        "$.orders[1:]",
        "$.orders[1:].id",
        "$.orders[-2:]",
        "$.orders.*",
        "$.orders[0,1]",
        "$.orders['a','b']",
        "$.orders..id",
        "$..id",
        "$.text[*]",
        "$$.Nothing[*]",
    ];
    for path in paths {
        let expected = output(json!({ "x": [] }));
        assert_eq!(parameter(path, json!({ "text": "t" })), expected, "{path}");
        let nested = format!("States.ArrayLength({path})");
        let expected = output(json!({ "x": 0 }));
        assert_eq!(parameter(&nested, json!({ "text": "t" })), expected, "{nested}");
    }
    let selector =
        json!({ "Type": "Task", "Resource": "r", "ResultSelector": { "x.$": "$.l[*]" } });
    let mut driver = Driver::new(&single(selector)).answer("S", [TaskResult::Output(json!({}))]);
    assert_eq!(driver.run(json!({})), output(json!({ "x": [] })));
    for field in ["InputPath", "OutputPath"] {
        let outcome = run(json!({ field: "$.orders[*]" }), json!({}));
        assert_eq!(error(&outcome), "States.Runtime", "{field}");
    }
}

#[test]
fn a_backslash_in_a_quoted_name_is_kept_unless_it_escapes_the_quote() {
    let input = json!({ "q\\\"x": 1, "a\\\\b": 2, "it's": 3, "Test\\\"\"Name\"": 4, "n\\n": 5 });
    let table = [
        (r#"$['q\"x']"#, 1),
        (r"$['a\\b']", 2),
        (r"$['it\'s']", 3),
        (r#"$['Test\""Name"']"#, 4),
        (r"$['n\n']", 5),
    ];
    for (path, expected) in table {
        assert_eq!(parameter(path, input.clone()), output(json!({ "x": expected })), "{path}");
    }
}

#[test]
fn a_missing_path_is_reported_as_on_aws() {
    let task = |field: &str| json!({ "Type": "Task", "Resource": "r", field: "$.Missing" });
    let fail = |field: &str| json!({ "Type": "Fail", field: "$.Missing" });
    let no_results = "Invalid path '$.Missing' : No results for path: $['Missing']";
    let not_found = |path: &str, field: &str| {
        format!(
            "The JSONPath '{path}' specified for the field '{field}' could not be found in the \
             input '{{\"a\":1}}'"
        )
    };
    let table = [
        (json!({ "InputPath": "$.Missing" }), no_results.to_owned()),
        (json!({ "OutputPath": "$.Missing" }), no_results.to_owned()),
        (task("TimeoutSecondsPath"), no_results.to_owned()),
        (task("HeartbeatSecondsPath"), no_results.to_owned()),
        (
            json!({ "InputPath": "$.no.such.result.path" }),
            "Invalid path '$.no.such.result.path' : Missing property in path $['no']".to_owned(),
        ),
        (
            json!({ "Parameters": { "value.$": "$.no_such_jsonpath" } }),
            not_found("$.no_such_jsonpath", "value.$"),
        ),
        (
            json!({ "Parameters": { "value.$": "$$.Execution.Input.no_such" } }),
            not_found("$$.Execution.Input.no_such", "value.$"),
        ),
        (fail("ErrorPath"), not_found("$.Missing", "ErrorPath")),
        (fail("CausePath"), not_found("$.Missing", "CausePath")),
        (
            json!({ "Parameters": { "v.$": "States.Array($.Missing)" } }),
            "The function 'States.Array($.Missing)' had the following error: The JsonPath argument \
             for the field '$.Missing' could not be found in the input '{\"a\":1}'"
                .to_owned(),
        ),
    ];
    for (state, expected) in table {
        assert_eq!(cause(state.clone(), json!({ "a": 1 })), expected, "{state}");
    }
}

#[test]
fn the_cause_of_a_failure_names_the_event_with_which_the_state_was_entered() {
    let task = json!({ "Type": "Task", "Resource": "r", "Next": "T",
        "Retry": [{ "ErrorEquals": ["E"] }] });
    let token = json!({ "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {}, "ResultPath": null, "Next": "W" });
    let definition = json!({ "StartAt": "P", "States": {
        "P": { "Type": "Pass", "Next": "A" }, "A": task, "T": token,
        "W": { "Type": "Wait", "Seconds": 1, "Next": "C" },
        "C": { "Type": "Choice", "Choices": [{ "Variable": "$.x", "IsNull": true, "Next": "D" }] },
        "D": { "Type": "Succeed" },
    } });
    let one = json!(1);
    let mut driver = Driver::new(&definition)
        .answer("A", [TaskResult::Error("E"), TaskResult::Output(one.clone())])
        .answer("T", [TaskResult::Output(one)]);
    // Pass 2-3, task 4-11 with a retry, task with a token 12-17 with `TaskSubmitted`, wait 18-19.
    driver.submits = true;
    let (error, cause) = failed(driver.run(json!({})));
    assert_eq!(error, "States.Runtime");
    let expected = "An error occurred while executing the state 'C' (entered at the event id #20). \
        Invalid path '$.x': The choice state's condition path references an invalid value.";
    assert_eq!(cause, expected);
}

#[test]
fn each_error_of_the_interpreter_has_the_prefix_in_its_cause() {
    let choice = json!({ "Type": "Choice",
        "Choices": [{ "Variable": "$.a", "IsNull": true, "Next": "E" }] });
    let task = json!({ "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": { "FunctionName.$": "$.a" } });
    let table = [
        (choice, "States.NoChoiceMatched"),
        (task, "States.Runtime"),
        (
            json!({ "Type": "Pass", "Result": 1, "ResultPath": "$.a.b" }),
            "States.ResultPathMatchFailure",
        ),
        (
            json!({ "Type": "Pass", "Parameters": { "x.$": "States.ArrayLength($.a)" } }),
            "States.IntrinsicFailure",
        ),
        (json!({ "Type": "Fail", "ErrorPath": "$.a" }), "States.Runtime"),
        (json!({ "Type": "Task", "Resource": "r", "TimeoutSecondsPath": "$.z" }), "States.Runtime"),
    ];
    for (state, name) in table {
        let is_choice = state["Type"] == "Choice";
        let mut definition =
            single(if is_choice { json!({ "Type": "Succeed" }) } else { state.clone() });
        if is_choice {
            definition["States"] = json!({ "S": state, "E": { "Type": "Succeed" } });
        }
        let (error, cause) = failed(Driver::new(&definition).run(json!({ "a": 1, "z": 0 })));
        assert_eq!(error, name, "{state}");
        let prefix =
            "An error occurred while executing the state 'S' (entered at the event id #2). ";
        assert!(cause.starts_with(prefix), "{cause}");
    }
}

#[test]
fn a_wait_fails_as_on_aws() {
    let wait = |field: &str| json!({ "Type": "Wait", field: "$.v" });
    let not_a_timestamp = |text: &str| {
        format!(
            "The TimestampPath parameter does not reference a valid ISO-8601 extended offset \
             date-time format string: $.v == {text}"
        )
    };
    let seconds = |problem: &str| format!("The SecondsPath parameter {problem}");
    let table = [
        ("SecondsPath", json!(-1), seconds("references a negative value: $.v == -1")),
        ("SecondsPath", json!(1.5), seconds("cannot be parsed as a long value: $.v == 1.5")),
        ("SecondsPath", json!(-1.5), seconds("cannot be parsed as a long value: $.v == -1.5")),
        ("SecondsPath", json!(2_147_483_648_i64), "Wait state delay is too long.".to_owned()),
        ("SecondsPath", json!(u64::MAX), "Wait state delay is too long.".to_owned()),
        ("TimestampPath", json!("1970-01-01 00:00:00Z"), not_a_timestamp("1970-01-01 00:00:00Z")),
        ("TimestampPath", json!("1970-01-01T00:00:00"), not_a_timestamp("1970-01-01T00:00:00")),
        ("TimestampPath", json!("1970-13-01T00:00:00Z"), not_a_timestamp("1970-13-01T00:00:00Z")),
        ("TimestampPath", json!(5), not_a_timestamp("5")),
        (
            "TimestampPath",
            json!("2038-01-19T03:14:08Z"),
            "Wait state delay is too long.".to_owned(),
        ),
        (
            "TimestampPath",
            json!("9999-12-31T00:00:00Z"),
            "Wait state delay is too long.".to_owned(),
        ),
    ];
    for (field, value, expected) in table {
        assert_eq!(cause(wait(field), json!({ "v": value })), expected, "{field} {value}");
    }
    for field in ["SecondsPath", "TimestampPath"] {
        let expected = format!("The {field} parameter does not reference an input value: $.v");
        assert_eq!(cause(wait(field), json!({})), expected);
    }
    let far = json!({ "Type": "Wait", "Timestamp": "2038-01-19T03:14:08Z" });
    assert_eq!(cause(far, json!({})), "Wait state delay is too long.");
    let latest = json!({ "Type": "Wait", "Timestamp": "2038-01-19T03:14:07Z" });
    assert_eq!(run(latest, json!(1)), output(json!(1)));
    assert_eq!(
        run(wait("SecondsPath"), json!({ "v": 2_147_483_647 })),
        output(json!({ "v": 2_147_483_647 }))
    );
}

/// The outcome and the failure event of a task that returns more than 256 KiB.
fn too_large(resource: &str, parameters: Value, catch: &str) -> (Outcome, String) {
    let definition = json!({ "StartAt": "S", "States": {
        "S": { "Type": "Task", "Resource": resource, "Parameters": parameters, "Next": "Good",
            "Catch": [{ "ErrorEquals": [catch], "Next": "Caught" }] },
        "Good": { "Type": "Succeed" }, "Caught": { "Type": "Pass", "End": true },
    } });
    let large = TaskResult::Output("x".repeat(257 * 1024).into());
    let mut driver = Driver::new(&definition).answer("S", [large]);
    let outcome = driver.run(json!({}));
    (outcome, driver.lines()[2].clone())
}

#[test]
fn a_task_whose_result_is_too_large_fails_and_can_be_caught() {
    let function = json!({ "FunctionName": "f" });
    let table = [
        ("arn:aws:states:::lambda:invoke", function.clone(), "lambda"),
        ("arn:aws:states:::lambda:invoke.waitForTaskToken", function, "lambda"),
        ("arn:aws:states:::sqs:sendMessage.waitForTaskToken", json!({}), "sqs"),
        ("arn:aws:states:::aws-sdk:s3:getObject", json!({}), "aws-sdk:s3"),
        (
            "arn:aws:lambda:us-east-1:1:function:f",
            json!({}),
            "arn:aws:lambda:us-east-1:1:function:f",
        ),
    ];
    for (resource, parameters, name) in table {
        for catch in ["States.ALL", "States.DataLimitExceeded"] {
            let (outcome, event) = too_large(resource, parameters.clone(), catch);
            let cause = format!(
                "The state/task '{name}' returned a result with a size exceeding the maximum number \
                 of bytes service limit."
            );
            let expected = json!({ "Error": "States.DataLimitExceeded", "Cause": cause });
            assert_eq!(outcome, output(expected), "{resource} {catch}");
            assert_eq!(event, "0 S TaskFailed");
        }
    }
}

#[test]
fn a_state_whose_data_is_too_large_fails_and_is_not_caught_by_all() {
    let large = "x".repeat(257 * 1024);
    let expected = "The state/task 'S' returned a result with a size exceeding the maximum number of \
        bytes service limit.";
    let pass = failed(run(json!({ "Result": { "Arg1": large } }), json!({})));
    assert_eq!(pass, ("States.DataLimitExceeded".to_owned(), expected.to_owned()));
    let mut task = single(json!({ "Type": "Task", "Resource": "r", "ResultPath": "$.r",
        "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "C" }] }));
    task["States"]["C"] = json!({ "Type": "Succeed" });
    let half = json!("x".repeat(140 * 1024));
    let mut driver = Driver::new(&task).answer("S", [TaskResult::Output(half.clone())]);
    let task = failed(driver.run(json!({ "a": half })));
    assert_eq!(task, ("States.DataLimitExceeded".to_owned(), expected.to_owned()));
}

#[test]
fn a_task_that_fails_without_error_and_cause_is_caught_with_nulls() {
    let definition = |names: &[&str]| {
        let catchers = names.iter().map(|name| {
            json!({ "ErrorEquals": [name], "ResultPath": format!("$['{name}']"), "Next": "C" })
        });
        json!({ "StartAt": "S", "States": {
            "S": { "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Parameters": {}, "Catch": catchers.collect::<Vec<_>>(), "End": true },
            "C": { "Type": "Pass", "End": true },
        } })
    };
    let run = |names: &[&str], failure: Failure| {
        let failure = TaskResult::Failure(failure);
        Driver::new(&definition(names)).answer("S", [failure]).run(json!({ "in": 1 }))
    };
    let nulls = json!({ "in": 1, "States.ALL": { "Error": null, "Cause": null } });
    let caught = run(&["States.Runtime", "States.ALL"], Failure::default());
    assert_eq!(caught, output(nulls));
    let uncaught = run(&["States.Timeout"], Failure::default());
    assert_eq!(uncaught, Outcome::Failed(Failure::default()));
    let named = Failure { error: Some("E".to_owned()), cause: None };
    let expected = json!({ "in": 1, "E": { "Error": "E", "Cause": null } });
    assert_eq!(run(&["E"], named), output(expected));
    let fail = Driver::new(&single(json!({ "Type": "Fail" }))).run(json!({}));
    assert_eq!(fail, Outcome::Failed(Failure::default()));
}
