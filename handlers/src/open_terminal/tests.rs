use std::time::Duration;

use domain::{
    job::{Exit, Outcome},
    message::Message,
    ports::Version,
    timeline::EventKind,
};
use testkit::{Fakes, job_id, session_id};

use super::*;
use crate::tests::env;

fn fakes() -> Fakes {
    Fakes::new().with_ready_session("s").with_running_terminal("s", "j")
}

async fn open(fakes: &Fakes) {
    crate::handle(&env(fakes), Message::OpenTerminal { job: job_id("j") }).await.unwrap();
}

/// The permission to open the terminal, with its channel.
fn access(fakes: &Fakes) -> Option<TerminalAccess> {
    let Job::Running(job) = fakes.job("j") else { return None };
    job.access(fakes.now()).cloned()
}

/// What the timeline says of terminals.
fn events(fakes: &Fakes) -> Vec<EventKind> {
    let entries = fakes.store.entries(session_id("s"));
    let of_terminals = entries.into_iter().filter(|entry| entry.cause.is_some());
    of_terminals.map(|entry| entry.kind).collect()
}

#[tokio::test]
async fn a_running_terminal_can_be_opened_and_is_noted_once() {
    let fakes = fakes();
    open(&fakes).await;
    assert!(access(&fakes).is_some());
    open(&fakes).await;
    assert!(access(&fakes).is_some());
    assert_eq!(events(&fakes), [EventKind::TerminalOpened]);
}

#[tokio::test]
async fn a_terminal_that_has_ended_or_whose_session_ends_is_left_alone() {
    let fakes = Fakes::new().with_stopping_session("s").with_running_terminal("s", "j");
    open(&fakes).await;
    assert!(access(&fakes).is_none());
    crate::handle(&env(&fakes), Message::OpenTerminal { job: job_id("none") }).await.unwrap();
}

#[tokio::test]
async fn a_used_permission_leaves_the_record() {
    let fakes = fakes();
    open(&fakes).await;
    let channel = access(&fakes).unwrap().channel;
    let env = env(&fakes);
    let owner = terminal_attached(&env, job_id("j"), &channel).await.unwrap();
    assert_eq!(owner, Some(fakes.session("s").user().clone()));
    let record = serde_json::to_string(&fakes.job("j")).unwrap();
    assert!(!record.contains("token"), "{record}");
    terminal_detached(&env, job_id("j")).await.unwrap();
    let expected =
        [EventKind::TerminalOpened, EventKind::TerminalAttached, EventKind::TerminalDetached];
    assert_eq!(events(&fakes), expected);
}

#[tokio::test]
async fn a_permission_that_was_not_used_leaves_the_record_when_it_is_written_next() {
    let fakes = fakes();
    open(&fakes).await;
    fakes.clock.advance(Duration::from_mins(1));
    let Job::Running(job) = fakes.job("j") else { panic!("the job does not run") };
    let (stdout, stderr) = job.output();
    let record = serde_json::to_string(&job.progress(stdout, stderr, fakes.now())).unwrap();
    assert!(!record.contains("token"), "{record}");
}

#[tokio::test]
async fn nobody_attaches_to_a_job_that_is_over() {
    let fakes = fakes();
    let Job::Running(job) = fakes.job("j") else { panic!("the job does not run") };
    let outcome = Outcome::Completed { exit: Some(Exit::Code(0)), failure: None };
    let version = fakes.store.job_version(job_id("j")).unwrap_or(Version(1));
    let over = Box::new(job.end(outcome, None, fakes.now()).into());
    fakes.store.apply(&[Write::Job(over, Expect::At(version))]).unwrap();
    let env = env(&fakes);
    assert_eq!(terminal_attached(&env, job_id("j"), "channel").await.unwrap(), None);
    terminal_detached(&env, job_id("j")).await.unwrap();
    assert_eq!(events(&fakes), []);
}

#[tokio::test]
async fn every_client_that_leaves_is_noted_however_many_leave_at_once() {
    const CLIENTS: usize = 40;
    let fakes = fakes();
    let env = env(&fakes);
    fakes.gate.interleave();
    let leaving = (0..CLIENTS).map(|_| terminal_detached(&env, job_id("j")));
    let left: Result<Vec<()>, HandlerError> = futures::future::try_join_all(leaving).await;
    left.unwrap();
    assert_eq!(events(&fakes), [EventKind::TerminalDetached; CLIENTS]);
}
