use std::{
    collections::{BTreeSet, HashSet},
    env, fs,
    path::Path,
};

use super::*;
use handlers::Step;

const HANDLERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/handlers.json");
const MACHINE: &str = include_str!("../../../../statemachine/session.asl.json");

#[derive(Serialize)]
struct Document {
    functions: &'static [Function],
}

#[test]
fn the_deployment_reads_the_functions_as_they_are() {
    let wanted = serde_json::to_string_pretty(&Document { functions: &FUNCTIONS }).unwrap() + "\n";
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(Path::new(HANDLERS).parent().unwrap()).unwrap();
        fs::write(HANDLERS, &wanted).unwrap();
    }
    let found = fs::read_to_string(HANDLERS).unwrap_or_default();
    assert_eq!(found, wanted, "infra/handlers.json is old: run UPDATE=1 cargo test -p aws");
}

#[test]
fn every_handler_is_run_by_the_function_of_its_trigger() {
    let wanted: BTreeSet<&str> = Step::ALL
        .into_iter()
        .map(Step::name)
        .chain(Lane::ALL.into_iter().map(Lane::name))
        .chain([handlers::SWEEP, "api"])
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
            Trigger::Workflow { placeholder } => Some(placeholder),
            Trigger::Http | Trigger::Queue { .. } | Trigger::Schedule { .. } => None,
        })
        .collect();
    listed.sort_unstable();
    assert_eq!(called, listed);
}

#[test]
fn the_api_can_neither_launch_nor_stop_nor_enter_a_task() {
    let api = Function::named("api").unwrap();
    let may_only = [Use::Store, CONTROL, EXEC, WEBHOOKS];
    assert!(api.uses.iter().all(|right| may_only.contains(right)));
}

#[test]
fn no_right_is_listed_twice() {
    for function in FUNCTIONS {
        let distinct: HashSet<&Use> = function.uses.iter().collect();
        assert_eq!(distinct.len(), function.uses.len(), "{}", function.name);
    }
}
