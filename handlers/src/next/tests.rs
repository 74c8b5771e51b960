use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

const DEFINITION: &str = include_str!("../../../statemachine/session.asl.json");

const ACTIONS: [Action; 5] =
    [Action::Provision, Action::AwaitRunning, Action::Wait, Action::Stop, Action::Finish];

/// The values with which a rule of a `Choice` state compares the variable.
fn compared(rule: &Value, variable: &str) -> Vec<String> {
    let own = (rule["Variable"] == variable).then(|| rule["StringEquals"].as_str()).flatten();
    let nested = rule["And"].as_array().into_iter().flatten();
    let nested = nested.flat_map(|rule| compared(rule, variable));
    own.map(str::to_owned).into_iter().chain(nested).collect()
}

#[test]
fn the_state_machine_decides_by_every_action_and_by_no_other() {
    let definition: Value = serde_json::from_str(DEFINITION).unwrap();
    let rules = definition["States"]["Decide"]["Choices"].as_array().unwrap();
    let decided: BTreeSet<String> =
        rules.iter().flat_map(|rule| compared(rule, "$.next.action")).collect();
    let actions = ACTIONS.iter().map(|action| json!(action).as_str().unwrap().to_owned());
    assert_eq!(decided, actions.collect());
}
