//! The session machine on real handlers, with the other ports in memory.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use asl::Machine;
use domain::{
    message::Message,
    ports::{Resume, Workflow},
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

/// One session, its execution, and a process that may be killed.
struct World {
    fakes: Fakes,
    executions: Executions,
    workflow: Arc<AslWorkflow>,
    invoker: Invoker,
    /// After this many polls of handlers the process is killed, once.
    killed_after: Option<u32>,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fakes = Fakes::new().with_queued_session("a");
        let executions = Executions::new(Database::open(dir.path()).unwrap());
        let workflow = open(&fakes, &executions).await;
        let invoker = Invoker::new(env(&fakes, &workflow));
        Self { fakes, executions, workflow, invoker, killed_after: None, _dir: dir }
    }

    /// A new process takes up what the last one stored.
    async fn restart(&mut self) {
        self.workflow = open(&self.fakes, &self.executions).await;
        self.invoker = Invoker::new(env(&self.fakes, &self.workflow));
    }

    async fn handle(&self, message: Message) {
        self.invoker.handle(message).await.unwrap();
    }

    /// Lets all executions go on that can, and ends a handler in its midst if its time has come.
    async fn settle(&mut self) {
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
                    self.killed_after = self.killed_after.map(|left| left - 1);
                }
            }
            if killed {
                self.killed_after = None;
                self.restart().await;
            }
        }
    }

    /// Tells the handlers what became of the tasks.
    async fn deliver(&mut self) {
        for facts in self.fakes.compute.take_events() {
            self.handle(Message::TaskEvent { facts }).await;
        }
        self.settle().await;
    }

    async fn become_ready(&mut self) {
        self.workflow.start(session_id("a")).await.unwrap();
        self.settle().await;
        let task = self.fakes.session("a").task().expect("a task was placed").clone();
        self.fakes.compute.advance(&task, TaskStatus::Running);
        self.deliver().await;
        assert_eq!(self.fakes.session("a").status(), Status::Ready);
    }

    async fn stop(&mut self) {
        let stop = Event::Stop { reason: Reason::UserStop, note: None };
        self.fakes = self.fakes.clone().after("a", stop);
        self.handle(Message::NotifySession { session: session_id("a") }).await;
        self.settle().await;
    }

    async fn see_task_stop(&mut self) {
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
    let mut world = World::new().await;
    world.become_ready().await;
    assert!(world.workflow.next_timer().is_some(), "the time to live is watched");
    world.stop().await;
    assert_eq!(world.fakes.session("a").status(), Status::Stopping);
    world.see_task_stop().await;
    assert_eq!(world.fakes.session("a").status(), Status::Stopped);
    assert_eq!((world.workflow.count(), world.workflow.next_timer()), (0, None));
    assert_eq!(world.executions.all_open().await.unwrap(), []);
}

#[tokio::test]
async fn killed_at_any_point_it_goes_on_to_the_same_end() {
    let mut kills = 0;
    loop {
        let mut world = World::new().await;
        world.fakes.gate.interleave();
        world.killed_after = Some(kills);
        world.become_ready().await;
        world.stop().await;
        world.see_task_stop().await;
        let session = world.fakes.session("a");
        assert_eq!(session.status(), Status::Stopped, "killed after {kills} polls");
        assert_eq!(world.fakes.compute.tasks().len(), 1, "killed after {kills} polls");
        assert_eq!(world.workflow.count(), 0, "killed after {kills} polls");
        if world.killed_after.is_some() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 20, "only {kills} points to kill at were found");
}

#[tokio::test]
async fn to_start_it_twice_is_to_start_it_once() {
    let mut world = World::new().await;
    world.workflow.start(session_id("a")).await.unwrap();
    world.workflow.start(session_id("a")).await.unwrap();
    assert_eq!(world.workflow.count(), 1);
    world.settle().await;
    world.workflow.start(session_id("a")).await.unwrap();
    world.settle().await;
    assert_eq!(world.fakes.compute.requests().len(), 1);
}

#[tokio::test]
async fn the_timer_ends_a_session_whose_time_is_up() {
    let mut world = World::new().await;
    world.become_ready().await;
    let ttl = world.fakes.session("a").common().spec.ttl;
    world.fakes.clock.advance(ttl - Duration::from_secs(5));
    world.settle().await;
    assert_eq!(world.fakes.session("a").status(), Status::Ready);
    world.fakes.clock.advance(Duration::from_secs(6));
    world.settle().await;
    assert_eq!(world.fakes.session("a").reason(), Some(Reason::TtlExpired));
    world.see_task_stop().await;
    assert!(matches!(world.fakes.session("a"), Session::Ended(_)));
}

#[tokio::test]
async fn a_token_of_the_past_or_of_nobody_is_late() {
    let mut world = World::new().await;
    world.workflow.start(session_id("a")).await.unwrap();
    world.settle().await;
    let token = world.fakes.session("a").waiter().expect("it waits").token.clone();
    let task = world.fakes.session("a").task().unwrap().clone();
    world.fakes.compute.advance(&task, TaskStatus::Running);
    world.deliver().await;
    let late = world.workflow.resume(&token, "{}").await.unwrap();
    assert_eq!(late, Resume::NotWaiting);
    for nobody in ["", "x", "sh_nobody.1.00000000000000000000000000000000"] {
        let token = domain::Secret::new(nobody.to_owned());
        assert_eq!(world.workflow.resume(&token, "{}").await.unwrap(), Resume::NotWaiting);
    }
}

#[tokio::test]
async fn an_execution_that_fails_as_a_whole_closes_its_session() {
    let definition = r#"{"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Broken"}}}"#;
    let mut world = World::new().await;
    let mut workflow = AslWorkflow::open(
        world.executions.clone(),
        world.fakes.clock.clone(),
        world.fakes.ids.clone(),
    )
    .await
    .unwrap();
    workflow.machine = Machine::parse(definition).unwrap();
    world.workflow = Arc::new(workflow);
    world.workflow.start(session_id("a")).await.unwrap();
    world.settle().await;
    let session = world.fakes.session("a");
    assert_eq!((session.status(), session.reason()), (Status::Failed, Some(Reason::Internal)));
    assert_eq!(world.workflow.count(), 0);
}
