use super::{Answers, run};
use asl::Machine;
use serde_json::{Value, json};

/// The output of a run, or the error that stopped it.
fn trace(definition: &Value, input: Value, answers: Value) -> Result<String, String> {
    let machine = Machine::parse(&definition.to_string()).map_err(|e| e.to_string())?;
    let answers: Answers = serde_json::from_value(answers).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    run(&machine, input, answers, &mut out).map_err(|e| e.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

fn task() -> Value {
    json!({ "StartAt": "T", "TimeoutSeconds": 60, "States": {
        "T": { "Type": "Task", "Resource": "r", "TimeoutSeconds": 5, "ResultPath": "$.r", "Next": "W",
            "Retry": [{ "ErrorEquals": ["E", "States.Timeout"], "IntervalSeconds": 2 }] },
        "W": { "Type": "Wait", "SecondsPath": "$.r", "End": true },
    } })
}

#[test]
fn each_line_has_the_state_the_event_and_the_time() {
    let answers =
        json!({ "T": [{ "error": "E", "cause": "why" }, { "timeout": true }, { "output": 10 }] });
    let expected = r#"
{"state":"T","event":"StateEntered","at":"2000-01-01T00:00:00.000Z","input":{}}
{"state":"T","event":"TaskScheduled","at":"2000-01-01T00:00:00.000Z","input":{}}
{"state":"T","event":"TaskFailed","at":"2000-01-01T00:00:00.000Z","cause":"why","error":"E"}
{"state":"T","event":"RetryScheduled","at":"2000-01-01T00:00:00.000Z","until":"2000-01-01T00:00:02.000Z"}
{"state":"T","event":"TaskScheduled","at":"2000-01-01T00:00:02.000Z","input":{}}
{"state":"T","event":"TaskTimedOut","at":"2000-01-01T00:00:07.000Z","cause":"","error":"States.Timeout"}
{"state":"T","event":"RetryScheduled","at":"2000-01-01T00:00:07.000Z","until":"2000-01-01T00:00:11.000Z"}
{"state":"T","event":"TaskScheduled","at":"2000-01-01T00:00:11.000Z","input":{}}
{"state":"T","event":"TaskSucceeded","at":"2000-01-01T00:00:11.000Z","output":10}
{"state":"T","event":"StateExited","at":"2000-01-01T00:00:11.000Z","output":{"r":10}}
{"state":"W","event":"StateEntered","at":"2000-01-01T00:00:11.000Z","input":{"r":10}}
{"state":"W","event":"StateExited","at":"2000-01-01T00:00:21.000Z","output":{"r":10}}
{"status":"SUCCEEDED","output":{"r":10}}
"#;
    let found = trace(&task(), json!({}), answers).unwrap();
    let parse = |text: &str| -> Vec<Value> {
        text.lines().filter(|l| !l.is_empty()).map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    assert_eq!(parse(&found), parse(expected));
}

#[test]
fn the_last_line_is_the_status() {
    let last = |answers: Value| {
        let found = trace(&task(), json!({}), answers).unwrap();
        serde_json::from_str::<Value>(found.lines().last().unwrap()).unwrap()
    };
    let failed = last(json!({ "T": [{ "error": "Other", "cause": "why" }] }));
    assert_eq!(failed, json!({ "status": "FAILED", "error": "Other", "cause": "why" }));
    let timed_out = last(json!({ "T": [{ "output": 100 }] }));
    assert_eq!(timed_out, json!({ "status": "TIMED_OUT", "error": "States.Timeout" }));
}

#[test]
fn a_token_task_is_answered_through_its_token() {
    let definition = json!({ "StartAt": "T", "States": { "T": {
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "End": true,
        "Parameters": { "FunctionName": "f", "Payload": { "token.$": "$$.Task.Token" } },
    } } });
    let found = trace(&definition, json!({}), json!({ "T": [{ "output": 1 }] })).unwrap();
    assert!(found.ends_with("{\"status\":\"SUCCEEDED\",\"output\":1}\n"), "{found}");
}

#[test]
fn a_failure_without_error_and_cause_has_nulls() {
    let failed = trace(&task(), json!({}), json!({ "T": [{ "error": null }] })).unwrap();
    let last: Value = serde_json::from_str(failed.lines().last().unwrap()).unwrap();
    assert_eq!(last, json!({ "status": "FAILED", "error": null, "cause": null }));
    let empty = trace(&task(), json!({}), json!({ "T": [{}] })).unwrap_err();
    assert!(empty.starts_with("an answer is {\"output\""), "{empty}");
}

#[test]
fn a_missing_or_invalid_answer_is_reported() {
    let none = trace(&task(), json!({}), json!({ "T": [{ "error": "E" }] }));
    assert_eq!(none.unwrap_err(), "no answer left for the state 'T'");
    let invalid = trace(&task(), json!({}), json!({ "T": [{ "outptu": 1 }] })).unwrap_err();
    assert!(invalid.starts_with("an answer is {\"output\""), "{invalid}");
    let map = json!({ "StartAt": "M", "States": { "M": { "Type": "Map", "End": true } } });
    let refused = trace(&map, json!({}), json!({})).unwrap_err();
    assert_eq!(refused, "state 'M', field 'Type': 'Map' is not supported");
}
