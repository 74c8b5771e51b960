use super::Machine;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The error with which a definition is refused.
fn refusal(definition: &Value) -> String {
    Machine::parse(&definition.to_string()).unwrap_err().to_string()
}

/// The error with which a definition with this single state is refused.
fn state_refusal(mut state: Value) -> String {
    let others = ["Fail", "Succeed", "Choice"];
    if state.get("Next").is_none() && !others.contains(&state["Type"].as_str().unwrap_or("Fail")) {
        state["End"] = json!(true);
    }
    refusal(&json!({ "StartAt": "S", "States": { "S": state } }))
}

fn task(field: &str, value: Value) -> Value {
    json!({ "Type": "Task", "Resource": "r", field: value })
}

#[test]
fn an_unsupported_feature_is_reported_with_its_state_and_field() {
    let table = [
        (json!({ "Type": "Parallel" }), "Type': 'Parallel'"),
        (json!({ "Type": "Map" }), "Type': 'Map'"),
        (json!({ "Type": "Pass", "QueryLanguage": "JSONata" }), "QueryLanguage': 'JSONata'"),
        (json!({ "Type": "Pass", "Assign": {} }), "Assign': this field"),
        (json!({ "Type": "Pass", "ResultSelector": {} }), "ResultSelector': this field"),
        (json!({ "Type": "Succeed", "Output": {} }), "Output': this field"),
        (json!({ "Type": "Succeed", "Next": "S" }), "Next': this field"),
        (json!({ "Type": "Fail", "InputPath": "$" }), "InputPath': this field"),
        (json!({ "Type": "Wait", "Seconds": 1, "Retry": [] }), "Retry': this field"),
        (task("Credentials", json!({})), "Credentials': this field"),
        (task("Arguments", json!({})), "Arguments': this field"),
        (task("Typo", json!(1)), "Typo': this field"),
        (
            task("Retry", json!([{ "ErrorEquals": ["E"], "Jitter": true }])),
            "Retry[0].Jitter': this field",
        ),
        (
            task("Catch", json!([{ "ErrorEquals": ["E"], "Next": "S", "Output": {} }])),
            "Catch[0].Output': this field",
        ),
        (
            json!({ "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": { "FunctionName": "f", "InvocationType": "Event" } }),
            "Parameters.InvocationType': this field",
        ),
    ];
    for (state, feature) in table {
        let expected = format!("state 'S', field '{feature} is not supported");
        assert_eq!(state_refusal(state.clone()), expected, "{state}");
    }
}

#[test]
fn an_invalid_field_is_reported_with_its_state_and_field() {
    let retry = |entry: Value| task("Retry", json!([entry]));
    let invoke = |parameters: Value| {
        json!({ "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Parameters": parameters })
    };
    let table = [
        (json!({}), "Type': is required"),
        (json!({ "Type": 1 }), "Type': must be a string"),
        (json!({ "Type": "Job" }), "Type': there is no type 'Job'"),
        (json!({ "Type": "Task" }), "Resource': is required"),
        (json!({ "Type": "Task", "Resource": "" }), "Resource': is empty"),
        (json!({ "Type": "Choice" }), "Choices': is required"),
        (
            json!({ "Type": "Choice", "Choices": [] }),
            "Choices': must be an array that is not empty",
        ),
        (json!({ "Type": "Choice", "Choices": [{}] }), "Choices[0].Next': is required"),
        (json!({ "Type": "Wait" }), "Seconds': is required, or one of its alternatives"),
        (
            json!({ "Type": "Wait", "Seconds": -1 }),
            "Seconds': must be an integer from 0 to 99999999",
        ),
        (
            json!({ "Type": "Wait", "Seconds": 1, "SecondsPath": "$.s" }),
            "SecondsPath': cannot be combined with another wait field",
        ),
        (
            json!({ "Type": "Wait", "Timestamp": "now" }),
            "Timestamp': 'now' is not an RFC 3339 timestamp",
        ),
        (json!({ "Type": "Pass", "InputPath": 1 }), "InputPath': must be a string"),
        (json!({ "Type": "Pass", "Parameters": "x" }), "Parameters': must be an object"),
        (
            json!({ "Type": "Pass", "Parameters": { "a.$": 1 } }),
            "Parameters.a.$': must be a string",
        ),
        (
            json!({ "Type": "Pass", "Parameters": { "l": [{ "a.$": "x" }] } }),
            "Parameters.l[0].a.$': 'x' is neither a path nor an intrinsic function",
        ),
        (
            json!({ "Type": "Pass", "Parameters": { "a": 1, "a.$": "$" } }),
            "Parameters.a.$': the field 'a' is given twice",
        ),
        (
            json!({ "Type": "Pass", "ResultPath": "$$.x" }),
            "ResultPath': cannot point into the context object",
        ),
        (
            json!({ "Type": "Pass", "ResultPath": "$.a[*]" }),
            "ResultPath': '$.a[*]' is not a reference path",
        ),
        (
            json!({ "Type": "Fail", "Error": "E", "ErrorPath": "$.e" }),
            "ErrorPath': cannot be combined with 'Error'",
        ),
        (
            task("TimeoutSeconds", json!(0)),
            "TimeoutSeconds': must be an integer from 1 to 99999999",
        ),
        (
            json!({ "Type": "Task", "Resource": "r", "TimeoutSeconds": 5, "HeartbeatSeconds": 5 }),
            "HeartbeatSeconds': must be less than 'TimeoutSeconds'",
        ),
        (task("Retry", json!({})), "Retry': must be an array"),
        (retry(json!({})), "Retry[0].ErrorEquals': is required"),
        (
            retry(json!({ "ErrorEquals": [] })),
            "Retry[0].ErrorEquals': must be an array that is not empty",
        ),
        (retry(json!({ "ErrorEquals": [1] })), "Retry[0].ErrorEquals': must contain only strings"),
        (
            retry(json!({ "ErrorEquals": ["States.Typo"] })),
            "Retry[0].ErrorEquals': 'States.Typo' is not a reserved error name",
        ),
        (
            retry(json!({ "ErrorEquals": ["E", "States.ALL"] })),
            "Retry[0].ErrorEquals': States.ALL must be alone in its list and in the last entry",
        ),
        (
            task("Retry", json!([{ "ErrorEquals": ["States.ALL"] }, { "ErrorEquals": ["E"] }])),
            "Retry[0].ErrorEquals': States.ALL must be alone in its list and in the last entry",
        ),
        (
            retry(json!({ "ErrorEquals": ["E"], "IntervalSeconds": 0 })),
            "Retry[0].IntervalSeconds': must be an integer from 1 to 99999999",
        ),
        (
            retry(json!({ "ErrorEquals": ["E"], "BackoffRate": 0.5 })),
            "Retry[0].BackoffRate': must be a number of at least 1.0",
        ),
        (
            retry(json!({ "ErrorEquals": ["E"], "MaxDelaySeconds": 31_622_401 })),
            "Retry[0].MaxDelaySeconds': must be an integer from 1 to 31622400",
        ),
        (
            retry(json!({ "ErrorEquals": ["E"], "JitterStrategy": "SOME" })),
            "Retry[0].JitterStrategy': must be FULL or NONE",
        ),
        (task("Catch", json!([{ "ErrorEquals": ["E"] }])), "Catch[0].Next': is required"),
        (invoke(json!({ "Payload": {} })), "Parameters.FunctionName': is required"),
        (invoke(json!({ "FunctionName": 1 })), "Parameters.FunctionName': must be a string"),
        (
            json!({ "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke" }),
            "Parameters': is required to name the function",
        ),
    ];
    for (state, problem) in table {
        assert_eq!(state_refusal(state.clone()), format!("state 'S', field '{problem}"), "{state}");
    }
}

#[test]
fn a_state_has_either_next_or_end() {
    let of = |fields: Value| {
        let mut state = fields;
        state["Type"] = "Pass".into();
        refusal(&json!({ "StartAt": "S", "States": { "S": state } }))
    };
    assert_eq!(of(json!({})), "state 'S', field 'Next': is required, unless 'End' is true");
    assert_eq!(of(json!({ "End": false })), "state 'S', field 'End': must be true");
    let both = of(json!({ "End": true, "Next": "S" }));
    assert_eq!(both, "state 'S', field 'End': cannot be combined with 'Next'");
}

#[test]
fn an_inconsistent_graph_of_states_is_refused() {
    let end = json!({ "Type": "Succeed" });
    let to = |next: &str| json!({ "Type": "Pass", "Next": next });
    let catch = json!({ "Type": "Task", "Resource": "r", "End": true,
        "Catch": [{ "ErrorEquals": ["E"], "Next": "X" }] });
    let table = [
        (
            json!({ "StartAt": "X", "States": { "S": end } }),
            "top-level field 'StartAt': there is no state 'X'",
        ),
        (
            json!({ "StartAt": "S", "States": { "S": to("X") } }),
            "state 'S', field 'Next': there is no state 'X'",
        ),
        (
            json!({ "StartAt": "S", "States": { "S": catch } }),
            "state 'S', field 'Next': there is no state 'X'",
        ),
        (
            json!({ "StartAt": "S", "States": { "S": end, "T": end } }),
            "state 'T', field 'Next': the state is unreachable",
        ),
        (
            json!({ "StartAt": "S", "States": { "S": to("S") } }),
            "top-level field 'States': no state ends the execution",
        ),
        (
            json!({ "StartAt": "S", "States": {} }),
            "top-level field 'StartAt': there is no state 'S'",
        ),
        (json!({ "States": {} }), "top-level field 'StartAt': is required"),
        (json!({ "StartAt": "S" }), "top-level field 'States': is required"),
        (
            json!({ "StartAt": "S", "States": { "S": 1 } }),
            "top-level field 'States': the state 'S' must be an object",
        ),
        (
            json!({ "StartAt": "S", "States": { "S": end }, "Version": "2.0" }),
            "top-level field 'Version': version '2.0' is not supported",
        ),
        (
            json!({ "StartAt": "S", "States": { "S": end }, "QueryLanguage": "JSONata" }),
            "top-level field 'QueryLanguage': 'JSONata' is not supported",
        ),
        (
            json!({ "StartAt": "S", "States": { "S": end }, "Extra": 1 }),
            "top-level field 'Extra': this field is not supported",
        ),
    ];
    for (definition, problem) in table {
        assert_eq!(refusal(&definition), problem, "{definition}");
    }
}

#[test]
fn a_repeated_key_is_refused() {
    let twice =
        r#"{ "StartAt": "S", "States": { "S": { "Type": "Fail" }, "S": { "Type": "Fail" } } }"#;
    let refusal = Machine::parse(twice).unwrap_err();
    let source = std::error::Error::source(&refusal).unwrap().to_string();
    assert!(source.contains("the key 'S' is repeated"), "{source}");
}

#[test]
fn comments_are_allowed_at_every_level() {
    let definition = json!({
        "Comment": "c", "StartAt": "T", "Version": "1.0", "QueryLanguage": "JSONPath",
        "States": {
            "T": {
                "Comment": "c", "Type": "Task", "Resource": "r", "Next": "C",
                "Retry": [{ "Comment": "c", "ErrorEquals": ["E"] }],
                "Catch": [{ "Comment": "c", "ErrorEquals": ["E"], "Next": "C" }],
            },
            "C": {
                "Type": "Choice", "Default": "F",
                "Choices": [{ "Comment": "c", "Next": "F", "Not": { "Comment": "c", "Variable": "$.v", "IsNull": true } }],
            },
            "F": { "Type": "Fail" },
        },
    });
    Machine::parse(&definition.to_string()).unwrap();
}

#[test]
fn resources_lists_the_called_resources_and_functions() {
    let definition = json!({ "StartAt": "A", "States": {
        "A": { "Type": "Task", "Resource": "plain", "Next": "B" },
        "B": { "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Parameters": { "FunctionName": "function" }, "Next": "C" },
        "C": { "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": { "FunctionName.$": "$.f" }, "End": true },
    } });
    let machine = Machine::parse(&definition.to_string()).unwrap();
    assert_eq!(machine.resources().collect::<Vec<_>>(), ["plain", "function"]);
}

proptest! {
    #[test]
    fn no_edit_of_a_definition_makes_the_parser_panic(at in 0_usize..9000, with in "[ -~]{0,3}") {
        let text = include_str!("../../../../statemachine/session.asl.json");
        let at = text.floor_char_boundary(at);
        let end = text.floor_char_boundary(at + with.len());
        let _any = Machine::parse(&format!("{}{with}{}", &text[..at], &text[end..]));
    }
}
