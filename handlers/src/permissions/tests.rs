use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    env,
    error::Error,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{
    Timestamp,
    message::Message,
    ports::{Queue, Shell},
    task::{TaskFacts, TaskStatus},
};
use testkit::Fakes;

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
        .chain([crate::SWEEP, "api", PUBLISH, LINK])
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
            Trigger::Http
            | Trigger::Queue { .. }
            | Trigger::Schedule { .. }
            | Trigger::Events { .. }
            | Trigger::Link => None,
        })
        .collect();
    listed.sort_unstable();
    assert_eq!(called, listed);
}

#[test]
fn the_api_can_neither_run_nor_stop_nor_enter_a_task() {
    let api = Function::named("api").unwrap();
    let mut allowed = vec![Permission::Store, Permission::PostCommands, Permission::Transfers];
    allowed.extend([Lane::Control, Lane::Exec, Lane::Webhooks].map(Permission::Queue));
    assert!(api.uses.iter().all(|permission| allowed.contains(permission)));
}

#[tokio::test]
async fn a_function_that_may_post_commands_may_do_nothing_else_to_a_shell() {
    static REFUSALS: AtomicUsize = AtomicUsize::new(0);
    let count: OnRefusal = |_| {
        REFUSALS.fetch_add(1, Ordering::Relaxed);
    };
    let shell: Arc<dyn Shell> = Fakes::new().with_ready_session("s").shell;
    let api = Scoped::new(Function::named("api").unwrap(), Some(shell), count);
    let (task, job) = (testkit::task_id("s"), testkit::job_id("j"));
    let (command, env) = (testkit::command("true"), BTreeMap::new());
    let started = api.start(&task, job, &command, &env, (0, 0)).await;
    assert!(started.is_ok(), "{started:?}");
    assert_eq!(REFUSALS.load(Ordering::Relaxed), 0);
    api.cancel(&task, job).await.unwrap_err();
    api.signal(&task, job, 15).await.unwrap_err();
    api.open_terminal(&task, job).await.unwrap_err();
    assert_eq!(REFUSALS.load(Ordering::Relaxed), 3);
}

#[test]
fn no_permission_is_listed_twice() {
    for function in FUNCTIONS {
        let distinct: HashSet<&Permission> = function.uses.iter().collect();
        assert_eq!(distinct.len(), function.uses.len(), "{}", function.name);
    }
}

#[tokio::test]
async fn a_use_that_the_function_does_not_list_is_reported_and_fails() {
    static REFUSALS: AtomicUsize = AtomicUsize::new(0);
    let count: OnRefusal = |_| {
        REFUSALS.fetch_add(1, Ordering::Relaxed);
    };
    let queue: Arc<dyn Queue> = Fakes::new().queue;
    let api = Scoped::new(Function::named("api").unwrap(), Some(queue), count);
    let probe = Message::ProbeTask {
        facts: TaskFacts {
            task: testkit::task_id("s"),
            started_by: testkit::session_id("s").to_string(),
            version: 1,
            status: TaskStatus::Running,
            ending: false,
            stop: None,
            at: Timestamp::from_millis(0),
        },
    };
    api.send(&Message::FillPool, Duration::ZERO).await.unwrap();
    assert_eq!(REFUSALS.load(Ordering::Relaxed), 0);
    let error = api.send(&probe, Duration::ZERO).await.unwrap_err();
    assert_eq!(REFUSALS.load(Ordering::Relaxed), 1);
    let source = error.source().unwrap().to_string();
    assert!(source.contains("api") && source.contains("queue:task-events"), "{source}");
}
