//! The session machine with the real handlers and the other ports in memory.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use asl::Machine;
use domain::{
    message::Message,
    ports::{Answer, Resume, Workflow},
    session::{Event, Reason, Session, Status},
    task::TaskStatus,
};
use handlers::Env;
use testkit::{Fakes, session_id};

use super::AslWorkflow;
use crate::{
    config::{Config, Sandbox},
    database::Database,
    engine::Invoker,
    env::policy,
    executions::Executions,
};

/// A session, its execution, and a process that may be killed.
struct Fixture {
    fakes: Fakes,
    executions: Executions,
    workflow: Arc<AslWorkflow>,
    invoker: Invoker,
    /// The process is killed once, after this many polls of handlers.
    killed_after: Option<u32>,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fakes = Fakes::new().with_queued_session("a");
        let executions = Executions::new(Database::open(dir.path()).unwrap());
        let workflow = open(&fakes, &executions).await;
        let invoker = Invoker::new(env(&fakes, &workflow));
        Self { fakes, executions, workflow, invoker, killed_after: None, _dir: dir }
    }

    /// Starts a new process on the stored executions.
    async fn restart(&mut self) {
        self.workflow = open(&self.fakes, &self.executions).await;
        self.invoker = Invoker::new(env(&self.fakes, &self.workflow));
    }

    async fn handle(&self, message: Message) {
        self.invoker.handle(message).await.unwrap();
    }

    /// Drives all runnable executions, and kills the process in the middle of a handler when due.
    async fn drive_all(&mut self) {
        self.workflow.fire();
        while let Some(session) = self.workflow.take() {
            let workflow = Arc::clone(&self.workflow);
            let mut killed = false;
            {
                let mut driven = pin!(workflow.drive(session, &self.invoker));
                let mut context = Context::from_waker(Waker::noop());
                while driven.as_mut().poll(&mut context).is_pending() {
                    killed = self.killed_after == Some(0);
                    if killed {
                        break;
                    }
                    self.killed_after = self.killed_after.map(|polls| polls - 1);
                }
            }
            if killed {
                self.killed_after = None;
                self.restart().await;
            }
        }
    }

    /// Passes the events of the tasks to the handlers.
    async fn deliver(&mut self) {
        for facts in self.fakes.compute.take_events() {
            self.handle(Message::TaskEvent { facts }).await;
        }
        self.drive_all().await;
    }

    async fn become_ready(&mut self) {
        self.workflow.start(session_id("a")).await.unwrap();
        self.drive_all().await;
        let task = self.fakes.session("a").task().expect("a task was placed").clone();
        self.fakes.compute.advance(&task, TaskStatus::Running);
        self.deliver().await;
        assert_eq!(self.fakes.session("a").status(), Status::Ready);
    }

    async fn stop(&mut self) {
        let stop = Event::Stop { reason: Reason::UserStop, note: None };
        self.fakes = self.fakes.clone().after("a", stop);
        self.handle(Message::NotifySession { session: session_id("a") }).await;
        self.drive_all().await;
    }

    async fn observe_task_stopped(&mut self) {
        let task = self.fakes.session("a").task().expect("a task was placed").clone();
        self.fakes.compute.advance(&task, TaskStatus::Stopped);
        self.deliver().await;
    }
}

async fn open(fakes: &Fakes, executions: &Executions) -> Arc<AslWorkflow> {
    let opened = AslWorkflow::open(executions.clone(), fakes.clock.clone(), fakes.ids.clone());
    Arc::new(opened.await.unwrap())
}

fn env(fakes: &Fakes, workflow: &Arc<AslWorkflow>) -> Env {
    let sandbox = Sandbox::new("/bin/false".into());
    let policy = policy(&Config::new("/nonexistent".into(), sandbox));
    Env { workflow: workflow.clone(), ..testkit::env_of!(Env, fakes, policy) }
}

#[tokio::test]
async fn an_execution_drives_its_session_from_its_slot_to_its_end() {
    let mut fixture = Fixture::new().await;
    fixture.become_ready().await;
    assert!(fixture.workflow.next_timer().is_some(), "a timer for the time to live");
    fixture.stop().await;
    assert_eq!(fixture.fakes.session("a").status(), Status::Stopping);
    fixture.observe_task_stopped().await;
    assert_eq!(fixture.fakes.session("a").status(), Status::Stopped);
    assert_eq!((fixture.workflow.count(), fixture.workflow.next_timer()), (0, None));
    assert_eq!(fixture.executions.all_open().await.unwrap(), []);
}

#[tokio::test]
async fn a_process_killed_at_any_point_resumes_to_the_same_end() {
    let mut kills = 0;
    loop {
        let mut fixture = Fixture::new().await;
        fixture.fakes.gate.interleave();
        fixture.killed_after = Some(kills);
        fixture.become_ready().await;
        fixture.stop().await;
        fixture.observe_task_stopped().await;
        let session = fixture.fakes.session("a");
        assert_eq!(session.status(), Status::Stopped, "killed after {kills} polls");
        assert_eq!(fixture.fakes.compute.tasks().len(), 1, "killed after {kills} polls");
        assert_eq!(fixture.workflow.count(), 0, "killed after {kills} polls");
        if fixture.killed_after.is_some() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 20, "only {kills} points were found at which to kill");
}

#[tokio::test]
async fn a_second_start_of_an_execution_has_no_effect() {
    let mut fixture = Fixture::new().await;
    fixture.workflow.start(session_id("a")).await.unwrap();
    fixture.workflow.start(session_id("a")).await.unwrap();
    assert_eq!(fixture.workflow.count(), 1);
    fixture.drive_all().await;
    fixture.workflow.start(session_id("a")).await.unwrap();
    fixture.drive_all().await;
    assert_eq!(fixture.fakes.compute.requests().len(), 1);
}

#[tokio::test]
async fn the_timer_ends_a_session_at_its_time_to_live() {
    let mut fixture = Fixture::new().await;
    fixture.become_ready().await;
    let ttl = fixture.fakes.session("a").common().spec.ttl;
    fixture.fakes.clock.advance(ttl - Duration::from_secs(5));
    fixture.drive_all().await;
    assert_eq!(fixture.fakes.session("a").status(), Status::Ready);
    fixture.fakes.clock.advance(Duration::from_secs(6));
    fixture.drive_all().await;
    assert_eq!(fixture.fakes.session("a").reason(), Some(Reason::TtlExpired));
    fixture.observe_task_stopped().await;
    assert!(matches!(fixture.fakes.session("a"), Session::Ended(_)));
}

#[tokio::test]
async fn a_used_or_unknown_token_resumes_nothing() {
    let mut fixture = Fixture::new().await;
    fixture.workflow.start(session_id("a")).await.unwrap();
    fixture.drive_all().await;
    let token = fixture.fakes.session("a").waiter().expect("the execution waits").token.clone();
    let task = fixture.fakes.session("a").task().unwrap().clone();
    fixture.fakes.compute.advance(&task, TaskStatus::Running);
    fixture.deliver().await;
    let again = fixture.workflow.resume(&token, Answer::Output("{}")).await.unwrap();
    assert_eq!(again, Resume::NotWaiting);
    for unknown in ["", "x", "sh_unknown.1.00000000000000000000000000000000"] {
        let token = domain::Secret::new(unknown.to_owned());
        assert_eq!(
            fixture.workflow.resume(&token, Answer::Output("{}")).await.unwrap(),
            Resume::NotWaiting
        );
    }
}

#[tokio::test]
async fn a_failed_execution_closes_its_session() {
    let definition = r#"{"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Failed"}}}"#;
    let mut fixture = Fixture::new().await;
    let mut workflow = AslWorkflow::open(
        fixture.executions.clone(),
        fixture.fakes.clock.clone(),
        fixture.fakes.ids.clone(),
    )
    .await
    .unwrap();
    workflow.machine = Machine::parse(definition).unwrap();
    fixture.workflow = Arc::new(workflow);
    fixture.workflow.start(session_id("a")).await.unwrap();
    fixture.drive_all().await;
    let session = fixture.fakes.session("a");
    assert_eq!((session.status(), session.reason()), (Status::Failed, Some(Reason::Internal)));
    assert_eq!(fixture.workflow.count(), 0);
}
