//! The state machine calls only handlers, and catches only errors that are raised.

use std::collections::BTreeSet;

use asl::Machine;
use handlers::{Code, Step};
use serde_json::Value;

const DEFINITION: &str = include_str!("../../../../statemachine/session.asl.json");

/// Errors that Step Functions and Lambda raise themselves
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html>).
const AWS_ERRORS: &[&str] = &["States.", "Lambda.", "Runtime.", "Sandbox.Timedout"];

#[test]
fn the_interpreter_accepts_the_definition() {
    let machine = Machine::parse(DEFINITION).expect("the definition is sound");
    assert_eq!(machine.resources().count(), 6);
}

#[test]
fn every_state_calls_a_handler_and_every_handler_of_the_machine_is_called() {
    let machine = Machine::parse(DEFINITION).expect("the definition is sound");
    let called: BTreeSet<&str> = machine.resources().collect();
    let wanted = Step::ALL.map(|step| format!("${{{}}}", step.placeholder()));
    assert_eq!(called, wanted.iter().map(String::as_str).collect());
}

#[test]
fn every_error_that_is_caught_can_be_raised() {
    let definition: Value = serde_json::from_str(DEFINITION).unwrap();
    let mut names = BTreeSet::new();
    collect("ErrorEquals", &definition, &mut names);
    assert!(!names.is_empty());
    let ours: Vec<&str> = Code::ALL.into_iter().map(Code::name).collect();
    for name in names {
        let foreign = AWS_ERRORS.iter().any(|prefix| name.starts_with(prefix));
        assert!(foreign || ours.contains(&name.as_str()), "no handler raises {name}");
    }
}

fn collect(field: &str, value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == field {
                    let list = value.as_array().expect("a list of names");
                    names.extend(list.iter().map(|name| name.as_str().expect("a name").to_owned()));
                }
                collect(field, value, names);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(field, value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
