//! The engine turned by hand: real store, queue and executions, simulated tasks, shells and time.

use std::{sync::Arc, time::Duration};

use domain::{
    SessionId,
    job::{self, Job, Work},
    message::{Lane, Message},
    ports::{Clock, Expect, Queue, Store, Write},
    session::{Queued, Reason, Session, Status},
    task::TaskStatus,
    timeline::{Actor, Stamp},
};
use handlers::Env;
use testkit::{Fakes, command, job_id, session_id, spec, user_id};

use super::{Engine, backoff};
use crate::{
    changes::{Bells, LocalChanges},
    config::{Config, Sandbox},
    database::Database,
    env::policy,
    executions::Executions,
    queue::SqliteQueue,
    store::SqliteStore,
    workflow::AslWorkflow,
};

struct World {
    fakes: Fakes,
    db: Database,
    engine: Engine,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(dir.path()).unwrap();
        let fakes = Fakes::new();
        let engine = open(&fakes, &db).await;
        Self { fakes, db, engine, _dir: dir }
    }

    /// A new process on the same records.
    async fn restart(&mut self) {
        self.db.flush().await.unwrap();
        self.engine = open(&self.fakes, &self.db).await;
    }

    fn store(&self) -> &dyn Store {
        self.engine.store.as_ref()
    }

    async fn send(&self, message: Message) {
        self.engine.queue.send(&message, Duration::ZERO).await.unwrap();
    }

    /// Accepts a session as the API does.
    async fn accept(&self, name: &str) {
        let (id, stamp) = (session_id(name), Stamp::new(Actor::User, self.fakes.clock.now()));
        let moved = Queued::accept(id, user_id(), job_id(name), spec(), stamp).any();
        let mut writes = vec![
            Write::Session(Box::new(moved.session), Expect::New),
            Write::TakeSlot { user: user_id(), limit: 9 },
        ];
        writes.extend(moved.entries.into_iter().map(|entry| Write::Entry(Box::new(entry))));
        self.store().commit(writes).await.unwrap();
        self.put_job(id, name, Work::Start).await;
        self.send(Message::StartSession { session: id }).await;
    }

    async fn put_job(&self, session: SessionId, name: &str, work: Work) {
        let created_at = self.fakes.clock.now();
        let common = job::Common { id: job_id(name), session, user: user_id(), work, created_at };
        let job = Job::accept(common).into();
        self.store().commit(vec![Write::Job(Box::new(job), Expect::New)]).await.unwrap();
    }

    /// Does what is due, and lets the tasks' events arrive, until nothing happens.
    async fn settle(&self) {
        loop {
            self.engine.run_until_idle().await;
            let events = self.fakes.compute.take_events();
            if events.is_empty() {
                return;
            }
            for facts in events {
                self.send(Message::TaskEvent { facts }).await;
            }
        }
    }

    async fn become_ready(&self, name: &str) {
        self.accept(name).await;
        self.settle().await;
        let task = self.session(name).await.task().unwrap().clone();
        self.fakes.compute.advance(&task, TaskStatus::Running);
        self.settle().await;
        assert_eq!(self.session(name).await.status(), Status::Ready);
    }

    async fn session(&self, name: &str) -> Session {
        self.store().session(session_id(name)).await.unwrap().unwrap().value
    }

    async fn job(&self, name: &str) -> Job {
        self.store().job(job_id(name)).await.unwrap().unwrap().value
    }
}

async fn open(fakes: &Fakes, db: &Database) -> Engine {
    let bells = Arc::new(Bells::default());
    let clock = fakes.clock.clone();
    let store = Arc::new(SqliteStore::new(db.clone(), bells.clone()));
    store.release_leases(clock.now()).await.unwrap();
    let queue = SqliteQueue::open(db.clone(), clock.clone()).unwrap();
    let executions = Executions::new(db.clone());
    let workflow = AslWorkflow::open(executions, clock.clone(), fakes.ids.clone()).await.unwrap();
    let workflow = Arc::new(workflow);
    let sandbox = Sandbox::new("/bin/false".into());
    let env = Env {
        store: store.clone(),
        queue: Arc::new(queue.clone()),
        workflow: workflow.clone(),
        compute: fakes.compute.clone(),
        shell: fakes.shell.clone(),
        webhooks: fakes.webhooks.clone(),
        changes: Arc::new(LocalChanges::new(db.clone(), bells, clock.clone())),
        clock,
        ids: fakes.ids.clone(),
        policy: Arc::new(policy(&Config::new("/nonexistent".into(), sandbox))),
        worker: "w".into(),
    };
    Engine::new(env, store, queue, workflow)
}

#[tokio::test]
async fn messages_executions_and_events_make_a_session_ready_and_run_its_job() {
    let world = World::new().await;
    world.accept("a").await;
    let work = Work::Execute(Box::new(command("echo hello")));
    world.put_job(session_id("a"), "j", work).await;
    world.settle().await;
    assert_eq!(world.session("a").await.status(), Status::Starting);
    let task = world.session("a").await.task().unwrap().clone();
    world.fakes.compute.advance(&task, TaskStatus::Running);
    world.settle().await;
    assert_eq!(world.session("a").await.status(), Status::Ready);
    assert_eq!(world.job("a").await.status(), job::Status::Completed);
    assert_eq!(world.job("j").await.status(), job::Status::Completed);
    assert_eq!(world.fakes.shell.runs().get(&job_id("j")), Some(&1));
}

#[tokio::test]
async fn time_alone_ends_a_session_when_every_bell_was_lost() {
    let mut world = World::new().await;
    world.become_ready("a").await;
    world.restart().await;
    // From one thing due to the next, as a server would sleep.
    for _ in 0..1000 {
        world.settle().await;
        if matches!(world.session("a").await, Session::Ended(_)) {
            break;
        }
        if let Session::Stopping(stopping) = world.session("a").await {
            let task = Session::from(stopping).task().unwrap().clone();
            world.fakes.compute.advance(&task, TaskStatus::Stopped);
            world.fakes.compute.take_events();
        }
        world.fakes.clock.reach(world.engine.next_wake().unwrap().expect("something is due"));
        world.fakes.clock.advance(Duration::from_millis(1));
    }
    let session = world.session("a").await;
    assert_eq!(session.reason(), Some(Reason::TtlExpired));
    assert!(matches!(session, Session::Ended(_)));
    assert_eq!(world.store().quota(&user_id()).await.unwrap().active, 0);
}

#[tokio::test]
async fn a_restart_takes_up_what_was_under_way() {
    let mut world = World::new().await;
    world.accept("a").await;
    world.restart().await;
    world.settle().await;
    world.restart().await;
    let task = world.session("a").await.task().unwrap().clone();
    world.fakes.compute.advance(&task, TaskStatus::Running);
    world.settle().await;
    assert_eq!(world.session("a").await.status(), Status::Ready);
    assert_eq!(world.fakes.compute.tasks().len(), 1);
}

#[tokio::test]
async fn a_handler_that_fails_is_called_again_and_its_message_put_aside_in_the_end() {
    let world = World::new().await;
    world.become_ready("a").await;
    world
        .fakes
        .gate
        .fail(|_, action| (action == "describing tasks").then_some(testkit::FaultPoint::Before));
    let facts = world.fakes.compute.tasks().remove(0);
    world.send(Message::ProbeTask { facts }).await;
    for attempt in 1..=4 {
        assert!(world.engine.step().await, "attempt {attempt}");
        assert!(!world.engine.step().await, "attempt {attempt} is not followed at once");
        world.fakes.clock.advance(backoff(attempt));
    }
    assert!(world.engine.step().await);
    let counts = world.engine.queue.counts(Lane::TaskEvents, world.fakes.clock.now());
    assert_eq!((counts.dead, counts.ready, counts.delayed, counts.in_flight), (1, 0, 0, 0));
}

#[tokio::test]
async fn a_message_that_makes_no_sense_is_not_tried_again() {
    let world = World::new().await;
    world.send(Message::RunJob { session: session_id("nobody") }).await;
    world.settle().await;
    let counts = world.engine.queue.counts(Lane::Exec, world.fakes.clock.now());
    assert_eq!(counts, crate::queue::Counts::default());
}

#[tokio::test]
async fn in_real_time_it_works_without_being_turned_and_stops_when_told() {
    let world = World::new().await;
    let engine = Arc::new(open(&world.fakes, &world.db).await);
    world.accept("a").await;
    let queue = engine.queue.clone();
    let running = engine.run();
    queue.send(&Message::StartSession { session: session_id("a") }, Duration::ZERO).await.unwrap();
    let began = std::time::Instant::now();
    while world.session("a").await.status() != Status::Starting {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing happened");
        tokio::task::yield_now().await;
    }
    running.stop().await;
    assert_eq!(world.job("a").await.status(), job::Status::Queued);
}

#[test]
fn the_pauses_between_attempts_grow_and_stay_short() {
    let pauses: Vec<_> = (1..=5).map(|attempt| backoff(attempt).as_millis()).collect();
    assert_eq!(pauses, [200, 800, 3200, 12_800, 12_800]);
}

#[tokio::test]
async fn what_was_counted_can_be_read_as_prometheus_text() {
    let world = World::new().await;
    world.become_ready("a").await;
    let text = world.engine.metrics_text().unwrap();
    for line in [
        "ephemeral_sessions{status=\"ready\"} 1",
        "ephemeral_open_jobs 0",
        "ephemeral_executions 1",
        "ephemeral_queue_messages{lane=\"control\",state=\"ready\"} 0",
        "ephemeral_handler_seconds_count{handler=\"provision-task\"} 1",
        "ephemeral_handler_failures_total{handler=\"sweep\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}
