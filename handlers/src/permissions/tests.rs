use std::{
    collections::{BTreeSet, HashSet},
    env, fs,
    path::Path,
};

use super::*;
use crate::Step;

const HANDLERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/handlers.json");
const MACHINE: &str = include_str!("../../../statemachine/session.asl.json");

#[derive(Serialize)]
struct Document {
    functions: &'static [Function],
}

#[test]
fn handlers_json_is_the_list_of_functions() {
    let wanted = serde_json::to_string_pretty(&Document { functions: &FUNCTIONS }).unwrap() + "\n";
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(Path::new(HANDLERS).parent().unwrap()).unwrap();
        fs::write(HANDLERS, &wanted).unwrap();
    }
    let found = fs::read_to_string(HANDLERS).unwrap_or_default();
    assert_eq!(
        found, wanted,
        "infra/handlers.json is out of date: run UPDATE=1 cargo nextest run -p handlers"
    );
}

#[test]
fn every_step_and_every_lane_has_a_function() {
    let wanted: BTreeSet<&str> = Step::ALL
        .into_iter()
        .map(Step::name)
        .chain(Lane::ALL.into_iter().map(Lane::name))
        .chain([crate::SWEEP, "api"])
        .collect();
    let listed: BTreeSet<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    assert_eq!(listed, wanted);
}

#[test]
fn the_state_machine_calls_every_workflow_function_and_no_other() {
    let mut called: Vec<&str> =
        MACHINE.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect();
    called.sort_unstable();
    let mut listed: Vec<&str> = FUNCTIONS
        .iter()
        .filter_map(|function| match function.trigger {
            Trigger::Workflow { step } => Some(step.placeholder()),
            Trigger::Http | Trigger::Queue { .. } | Trigger::Schedule { .. } => None,
        })
        .collect();
    listed.sort_unstable();
    assert_eq!(called, listed);
}

#[test]
fn the_api_can_neither_run_nor_stop_nor_enter_a_task() {
    let api = Function::named("api").unwrap();
    let lanes = [Lane::Control, Lane::Exec, Lane::Webhooks].map(Permission::Queue);
    let is_allowed = |permission| permission == Permission::Store || lanes.contains(&permission);
    assert!(api.uses.iter().copied().all(is_allowed));
}

#[test]
fn no_permission_is_listed_twice() {
    for function in FUNCTIONS {
        let distinct: HashSet<&Permission> = function.uses.iter().collect();
        assert_eq!(distinct.len(), function.uses.len(), "{}", function.name);
    }
}
