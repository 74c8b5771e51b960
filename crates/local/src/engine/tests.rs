//! The engine driven step by step: real store, queue and executions; simulated tasks, shells and time.

use std::{sync::Arc, time::Duration};

use domain::{
    SessionId, UserId,
    job::{self, Job, Work},
    message::{Lane, Message},
    ports::{Clock, Expect, Queue, Store, Webhooks, Write},
    session::{Queued, Reason, Session, Spec, Status, Waiting},
    size::Size,
    task::TaskStatus,
    timeline::{Actor, Stamp},
};
use handlers::Env;
use testkit::{Fakes, command, job_id, session_id, spec, user_id};

use super::{Engine, backoff};
use crate::{
    changes::{ChangeListeners, LocalChanges},
    config::{Config, Sandbox},
    database::Database,
    env::policy,
    executions::Executions,
    queue::SqliteQueue,
    store::{Capacity, SqliteStore},
    workflow::AslWorkflow,
};

/// Room for ten sessions.
const CAPACITY: Capacity = Capacity { memory_mib: 5120, disk_mib: 1 << 20, sessions: 10 };

struct Fixture {
    fakes: Fakes,
    db: Database,
    engine: Engine,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(dir.path()).unwrap();
        let fakes = Fakes::new();
        let engine = open(&fakes, &db).await;
        Self { fakes, db, engine, _dir: dir }
    }

    /// Starts a new process on the same records.
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
        let accepted = Queued::accept(id, user_id(), job_id(name), spec(), stamp).any();
        let mut writes = vec![
            Write::Session(Box::new(accepted.session), Expect::New),
            Write::TakeSlot { user: user_id(), limit: 9 },
        ];
        writes.extend(accepted.entries.into_iter().map(|entry| Write::Entry(Box::new(entry))));
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

    /// Does all work that is due, and delivers the events of the tasks, until none is left.
    async fn work_until_idle(&self) {
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
        self.work_until_idle().await;
        let task = self.session(name).await.task().unwrap().clone();
        self.fakes.compute.advance(&task, TaskStatus::Running);
        self.work_until_idle().await;
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
    open_env(fakes, db, |_| {}).await
}

async fn open_with(fakes: &Fakes, db: &Database, webhooks: Arc<dyn Webhooks>) -> Engine {
    open_env(fakes, db, |env| env.webhooks = webhooks).await
}

/// Opens the engine with other ports or rules.
async fn open_env(fakes: &Fakes, db: &Database, change: impl FnOnce(&mut Env)) -> Engine {
    let listeners = Arc::new(ChangeListeners::default());
    let clock = fakes.clock.clone();
    let store = SqliteStore::new(db.clone(), listeners.clone()).with_capacity(CAPACITY);
    let store = Arc::new(store);
    store.release_leases(clock.now()).await.unwrap();
    let queue = SqliteQueue::open(db.clone(), clock.clone()).unwrap();
    let executions = Executions::new(db.clone());
    let workflow = AslWorkflow::open(executions, clock.clone(), fakes.ids.clone()).await.unwrap();
    let workflow = Arc::new(workflow);
    let sandbox = Sandbox::new("/bin/false".into());
    let mut env = Env {
        store: store.clone(),
        queue: Arc::new(queue.clone()),
        workflow: workflow.clone(),
        compute: fakes.compute.clone(),
        shell: fakes.shell.clone(),
        webhooks: fakes.webhooks.clone(),
        changes: Arc::new(LocalChanges::new(db.clone(), listeners, clock.clone())),
        clock,
        ids: fakes.ids.clone(),
        policy: Arc::new(policy(&Config::new("/nonexistent".into(), sandbox))),
        worker: "w".into(),
        files: None,
        transfers: None,
        zstd: None,
        processes: None,
        claims: Some(Arc::default()),
    };
    change(&mut env);
    Engine::new(env, store, queue, workflow)
}

#[tokio::test]
async fn messages_executions_and_events_make_a_session_ready_and_run_its_job() {
    let fixture = Fixture::new().await;
    fixture.accept("a").await;
    let work = Work::Execute(Box::new(command("echo hello")));
    fixture.put_job(session_id("a"), "j", work).await;
    fixture.work_until_idle().await;
    assert_eq!(fixture.session("a").await.status(), Status::Starting);
    let task = fixture.session("a").await.task().unwrap().clone();
    fixture.fakes.compute.advance(&task, TaskStatus::Running);
    fixture.work_until_idle().await;
    assert_eq!(fixture.session("a").await.status(), Status::Ready);
    assert_eq!(fixture.job("a").await.status(), job::Status::Completed);
    assert_eq!(fixture.job("j").await.status(), job::Status::Completed);
    assert_eq!(fixture.fakes.shell.runs().get(&job_id("j")), Some(&1));
}

#[tokio::test]
async fn a_session_ends_at_its_time_to_live_without_any_notification() {
    let mut fixture = Fixture::new().await;
    fixture.become_ready("a").await;
    fixture.restart().await;
    // Each round sleeps until the next work is due, as a server does.
    for _ in 0..1000 {
        fixture.work_until_idle().await;
        if matches!(fixture.session("a").await, Session::Ended(_)) {
            break;
        }
        if let Session::Stopping(stopping) = fixture.session("a").await {
            let task = Session::from(stopping).task().unwrap().clone();
            fixture.fakes.compute.advance(&task, TaskStatus::Stopped);
            fixture.fakes.compute.take_events();
        }
        fixture.fakes.clock.reach(fixture.engine.next_wake().unwrap().expect("the session is due"));
        fixture.fakes.clock.advance(Duration::from_millis(1));
    }
    let session = fixture.session("a").await;
    assert_eq!(session.reason(), Some(Reason::TtlExpired));
    assert!(matches!(session, Session::Ended(_)));
    assert_eq!(fixture.store().quota(&user_id()).await.unwrap().active, 0);
}

#[tokio::test]
async fn a_restart_resumes_unfinished_work() {
    let mut fixture = Fixture::new().await;
    fixture.accept("a").await;
    fixture.restart().await;
    fixture.work_until_idle().await;
    fixture.restart().await;
    let task = fixture.session("a").await.task().unwrap().clone();
    fixture.fakes.compute.advance(&task, TaskStatus::Running);
    fixture.work_until_idle().await;
    assert_eq!(fixture.session("a").await.status(), Status::Ready);
    assert_eq!(fixture.fakes.compute.tasks().len(), 1);
}

#[tokio::test]
async fn a_message_whose_handler_always_fails_becomes_a_dead_letter() {
    let fixture = Fixture::new().await;
    fixture.become_ready("a").await;
    fixture
        .fakes
        .gate
        .fail(|_, action| (action == "describing tasks").then_some(testkit::FaultPoint::Before));
    let facts = fixture.fakes.compute.tasks().remove(0);
    fixture.send(Message::ProbeTask { facts }).await;
    for attempt in 1..=4 {
        assert!(fixture.engine.step().await, "attempt {attempt}");
        assert!(!fixture.engine.step().await, "attempt {attempt} is followed by a delay");
        fixture.fakes.clock.advance(backoff(attempt));
    }
    assert!(fixture.engine.step().await);
    let counts = fixture.engine.queue.counts(Lane::TaskEvents, fixture.fakes.clock.now());
    assert_eq!((counts.dead, counts.ready, counts.delayed, counts.in_flight), (1, 0, 0, 0));
}

#[tokio::test]
async fn a_message_about_an_unknown_session_is_not_repeated() {
    let fixture = Fixture::new().await;
    fixture.send(Message::RunJob { session: session_id("unknown") }).await;
    fixture.work_until_idle().await;
    let counts = fixture.engine.queue.counts(Lane::Exec, fixture.fakes.clock.now());
    assert_eq!(counts, crate::queue::Counts::default());
}

#[tokio::test]
async fn a_running_engine_does_its_work_and_stops_on_request() {
    let fixture = Fixture::new().await;
    let engine = Arc::new(open(&fixture.fakes, &fixture.db).await);
    fixture.accept("a").await;
    let queue = engine.queue.clone();
    let running = engine.run();
    queue.send(&Message::StartSession { session: session_id("a") }, Duration::ZERO).await.unwrap();
    let began = std::time::Instant::now();
    while fixture.session("a").await.status() != Status::Starting {
        assert!(began.elapsed() < Duration::from_secs(20), "the session is not starting");
        tokio::task::yield_now().await;
    }
    running.stop().await;
    assert_eq!(fixture.job("a").await.status(), job::Status::Queued);
}

#[test]
fn the_delays_between_attempts_grow_up_to_a_limit() {
    let delays: Vec<_> = (1..=5).map(|attempt| backoff(attempt).as_millis()).collect();
    assert_eq!(delays, [200, 800, 3200, 12_800, 12_800]);
}

#[tokio::test]
async fn the_metrics_are_written_in_the_text_format_of_prometheus() {
    let fixture = Fixture::new().await;
    fixture.become_ready("a").await;
    let text = fixture.engine.metrics_text().unwrap();
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

mod sleeping_commands;
mod slow_webhooks;

#[tokio::test]
async fn a_session_that_waits_for_room_is_admitted_when_one_of_another_user_has_ended() {
    let fixture = Fixture::new().await;
    fixture.become_ready("a").await;
    let (id, stamp) = (session_id("w"), Stamp::new(Actor::User, fixture.fakes.clock.now()));
    let most = u32::try_from(CAPACITY.memory_mib).unwrap();
    let spec = Spec { size: Size::new(1024, most).unwrap(), ..spec() };
    let accepted = Waiting::accept(id, UserId::new("other"), job_id("w"), spec, stamp).any();
    let mut writes = vec![Write::Session(Box::new(accepted.session), Expect::New)];
    writes.extend(accepted.entries.into_iter().map(|entry| Write::Entry(Box::new(entry))));
    fixture.store().commit(writes).await.unwrap();
    fixture.put_job(id, "w", Work::Start).await;

    let stop = Message::NotifySession { session: id };
    fixture.send(stop).await;
    fixture.work_until_idle().await;
    assert!(matches!(fixture.session("w").await, Session::Waiting(_)), "there is no room yet");

    let task = fixture.session("a").await.task().unwrap().clone();
    fixture.fakes.compute.die(&task, domain::task::StopCode::Exited);
    fixture.work_until_idle().await;
    assert!(matches!(fixture.session("a").await, Session::Ended(_)));
    assert_eq!(fixture.session("w").await.status(), Status::Starting);
}
