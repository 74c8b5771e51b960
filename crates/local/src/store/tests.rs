use std::{path::Path, sync::atomic::AtomicU32, time::Duration};

use domain::{
    command::Command,
    job::{self, Work},
    ports::Expect,
    session::{Event, Queued},
    size::Size,
    timeline::{Actor, Stamp},
    webhook::{EventType, Payload, Pending},
};
use rusqlite::Connection;
use tempfile::{TempDir, tempdir};
use testkit::{command, conformance, job_id, session_id, spec, user_id};

use super::*;

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::new(Database::open(dir).unwrap(), Arc::default())
}

fn make() -> (TempDir, SqliteStore) {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    (dir, store)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + seconds * 1000)
}

fn stamp(seconds: i64) -> Stamp {
    Stamp::new(Actor::User, at(seconds))
}

fn session(name: &str) -> Session {
    let job = job_id(&format!("+{name}"));
    Queued::accept(session_id(name), user_id(), job, spec(), stamp(0)).any().session
}

fn ended(name: &str) -> Session {
    let stop = Event::Stop { reason: domain::session::Reason::UserStop, note: None };
    let stopping = session(name).on(stop, stamp(1)).unwrap().session;
    testkit::finish(stopping, stamp(2)).session
}

fn job(session: &str, name: &str) -> job::Queued {
    let (id, session) = (job_id(name), session_id(session));
    let work = Work::Execute(Box::new(command("true")));
    Job::accept(job::Common { id, session, user: user_id(), work, created_at: at(0) })
}

fn delivery(session: &str, name: &str) -> Delivery {
    let payload = Payload {
        id: DeliveryId::from_ulid(job_id(name).ulid()),
        user: user_id(),
        session: session_id(session),
        event: EventType::SessionStopped,
        body: Secret::new("{}".to_owned()),
        created_at: at(0),
    };
    Pending::new(payload).into()
}

fn new_session(session: Session) -> Write {
    Write::Session(Box::new(session), Expect::New)
}

fn new_job(job: impl Into<Job>) -> Write {
    Write::Job(Box::new(job.into()), Expect::New)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_suite_of_the_port_passes() {
    let root = tempdir().unwrap();
    let next = AtomicU32::new(0);
    conformance::store_suite(async || {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::new(open(&root.path().join(number.to_string()))) as Arc<dyn Store>
    })
    .await;
    conformance::store_limits_suite(async || {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::new(open(&root.path().join(number.to_string()))) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_starts_at_once_never_exceed_the_quota() {
    let (_dir, store) = make();
    let take = |_| {
        let store = store.clone();
        tokio::spawn(async move {
            store.commit(vec![Write::TakeSlot { user: user_id(), limit: 5 }]).await
        })
    };
    let answers = futures::future::join_all((0..50).map(take)).await;
    let taken = answers.iter().filter(|answer| matches!(answer, Ok(Ok(())))).count();
    let refused = |answer: &&Result<_, _>| matches!(answer, Ok(Err(CommitError::QuotaReached)));
    assert_eq!((taken, answers.iter().filter(refused).count()), (5, 45));
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 5);
}

#[tokio::test]
async fn sessions_together_never_exceed_the_capacity() {
    let large = |name: &str, memory, disk| {
        let size = Size::new(1024, memory).unwrap().with_disk(disk).unwrap();
        let spec = domain::session::Spec { size, ..spec() };
        let id = session_id(name);
        let session = Queued::accept(id, user_id(), job_id(name), spec, stamp(0)).any().session;
        vec![Write::RequireCapacity { session: id, size }, new_session(session)]
    };
    let (dir, unlimited) = make();
    unlimited.commit(large("unlimited", 8192, 4096)).await.unwrap();
    drop(unlimited);
    let limit = Capacity { memory_mib: 8192 + 4096, disk_mib: 4096 + 2048, sessions: 3 };
    let store = open(dir.path()).with_capacity(limit);
    for writes in [large("memory", 5120, 64), large("disk", 2048, 2049)] {
        assert!(matches!(store.commit(writes).await, Err(CommitError::NoCapacity)));
    }
    store.commit(large("a", 2048, 1024)).await.unwrap();
    store.commit(large("b", 2048, 1024)).await.unwrap();
    let over = store.commit(large("c", 2048, 64)).await;
    assert!(matches!(over, Err(CommitError::NoCapacity)), "a fourth session: {over:?}");
    let (used, _) = store.usage().unwrap();
    assert_eq!(used, Capacity { memory_mib: 12_288, disk_mib: 6144, sessions: 3 });
    // A waiting session and one that has ended use nothing, nor does a session's own record.
    let again = large("a", 2048, 1024).swap_remove(0);
    store.commit(vec![again]).await.unwrap();
    store.commit(vec![new_session(ended("over"))]).await.unwrap();
    assert_eq!(store.usage().unwrap().0, used);
}

#[tokio::test]
async fn records_are_read_after_the_database_was_opened_again() {
    let (dir, store) = make();
    let job = Job::from(job("s", "j"));
    store.commit(vec![new_session(session("s")), new_job(job.clone())]).await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.session(session_id("s")).await.unwrap().unwrap().value, session("s"));
    assert_eq!(
        store.open_jobs(session_id("s"), Concurrency::Serial, 10).await.unwrap()[0].value,
        job
    );
}

#[tokio::test]
async fn an_invalid_cursor_gives_an_empty_page() {
    let (_dir, store) = make();
    let writes = vec![
        new_session(session("s")),
        new_job(job("s", "j")),
        Write::Delivery(Box::new(delivery("s", "d")), Expect::New),
    ];
    store.commit(writes).await.unwrap();
    for cursor in ["", "x", "sh_", "job_01", "'; DROP TABLE jobs"] {
        let user = user_id();
        let sessions = store.sessions(&user, None, Some(cursor), 10).await.unwrap();
        let jobs = store.jobs(session_id("s"), Some(cursor), 10).await.unwrap();
        let deliveries = store.deliveries(&user, None, Some(cursor), 10).await.unwrap();
        assert_eq!((sessions.items, sessions.next), (vec![], None));
        assert_eq!((jobs.items, jobs.next), (vec![], None));
        assert_eq!((deliveries.items, deliveries.next), (vec![], None));
    }
}

#[tokio::test]
async fn the_time_of_the_next_due_record_is_known() {
    let (_dir, store) = make();
    assert_eq!(store.next_due().unwrap(), None);
    let queued = job("s", "j").recheck_at(at(100));
    store.commit(vec![new_job(queued.clone())]).await.unwrap();
    assert_eq!(store.next_due().unwrap(), Some(at(100)));
    let session = session("s").recheck_at(at(50));
    store.commit(vec![new_session(session)]).await.unwrap();
    assert_eq!(store.next_due().unwrap(), Some(at(50)));
}

#[tokio::test]
async fn a_new_process_frees_what_the_last_one_held() {
    let (_dir, store) = make();
    let running = job("s", "r").claim("old", at(0));
    let writes = vec![
        new_session(session("s").recheck_at(at(3600))),
        new_session(ended("e")),
        new_job(running),
        new_job(job("s", "q")),
    ];
    store.commit(writes).await.unwrap();
    assert_eq!(store.release_leases(at(1)).await.unwrap(), 3);

    let read = store.job(job_id("r")).await.unwrap().unwrap();
    assert_eq!(read.version, Version(2));
    let Job::Running(released) = read.value else { panic!("{:?} is not running", read.value) };
    assert!(released.lease_expired(at(1)));
    assert_eq!(store.due(at(1), 10).await.unwrap().len(), 3);
    let session = store.session(session_id("s")).await.unwrap().unwrap().value;
    assert_eq!(session.due_at(), Some(at(1)));
    assert_eq!(store.release_leases(at(1)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_session_with_a_pending_delivery_is_not_forgotten() {
    let (_dir, store) = make();
    let pending = delivery("e", "d");
    let writes = vec![
        new_session(ended("e")),
        Write::Delivery(Box::new(pending.clone()), Expect::New),
        new_session(session("live")),
    ];
    store.commit(writes).await.unwrap();
    let later = at(0) + Duration::from_hours(240);
    assert_eq!(store.forget(later, 10).await.unwrap(), 0);

    let Delivery::Pending(pending) = pending else { panic!("it is pending") };
    let finished = pending.disabled(None, at(5));
    let write = Write::Delivery(Box::new(finished.into()), Expect::At(Version(1)));
    store.commit(vec![write]).await.unwrap();
    assert_eq!(store.forget(later, 10).await.unwrap(), 1);
    assert_eq!(store.session(session_id("e")).await.unwrap(), None);
    let left = store.deliveries(&user_id(), None, None, 10).await.unwrap();
    assert_eq!(left.items, []);
    assert!(store.session(session_id("live")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_record_that_cannot_be_decoded_gives_an_error_without_its_content() {
    let (_dir, store) = make();
    store.commit(vec![new_session(session("s"))]).await.unwrap();
    let corrupt = |db: &rusqlite::Connection| {
        db.execute(r#"UPDATE sessions SET record = '{"state":"s3cret"}'"#, [])
            .map_err(|error| BackendError::new("corrupting", error))
    };
    store.db.write(corrupt, || ()).await.unwrap();
    let error = store.session(session_id("s")).await.unwrap_err();
    assert_eq!(error.to_string(), "reading a session failed");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn every_list_uses_an_index() {
    let (_dir, store) = make();
    let lists = [
        "SELECT record FROM sessions WHERE user = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
        "SELECT record FROM sessions WHERE user = ?1 AND waiting ORDER BY id",
        "SELECT id FROM sessions WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2",
        "SELECT record FROM jobs WHERE session = ?1 AND open ORDER BY id LIMIT ?2",
        "SELECT min(due_at) FROM jobs WHERE due_at IS NOT NULL",
        "SELECT record FROM warm WHERE kind = ?1 AND due_at IS NOT NULL ORDER BY id",
    ];
    for list in lists {
        let plan = |db: &rusqlite::Connection| {
            let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {list}"))?;
            let count = plan.parameter_count();
            let steps = plan.query_map(rusqlite::params_from_iter(vec![0; count]), |row| {
                row.get::<_, String>(3)
            })?;
            steps.collect::<rusqlite::Result<Vec<_>>>()
        };
        let plan = store.db.read("planning", plan).unwrap().join("; ");
        assert!(plan.contains("USING") && !plan.contains("B-TREE"), "{list}: {plan}");
    }
}

/// A command with secrets in all its parts.
fn secret_command() -> Command {
    Command {
        env: Secret::new([("TOKEN".to_owned(), "hidden-env".to_owned())].into()),
        stdin: Secret::new(b"hidden-stdin".to_vec()),
        ..command("echo hidden-command")
    }
}

fn secret_job(session: &str, name: &str) -> job::Queued {
    let (id, session) = (job_id(name), session_id(session));
    let work = Work::Execute(Box::new(secret_command()));
    Job::accept(job::Common { id, session, user: user_id(), work, created_at: at(0) })
}

fn many_variables() -> Secret<std::collections::BTreeMap<String, String>> {
    Secret::new((0..100).map(|n| (format!("NAME{n}"), "hidden-variable".to_owned())).collect())
}

/// All text and bytes in the tables of sessions and jobs.
fn contents(db: &Database) -> String {
    let all = |db: &Connection| {
        let mut found = String::new();
        for (table, column) in [
            ("sessions", "record"),
            ("jobs", "record"),
            ("commands", "record"),
            ("commands", "stdin"),
            ("variables", "record"),
        ] {
            let mut rows = db.prepare(&format!("SELECT CAST({column} AS TEXT) FROM {table}"))?;
            for row in rows.query_map([], |row| row.get::<_, String>(0))? {
                found.push_str(&row?);
            }
        }
        Ok(found)
    };
    db.read("reading everything", all).unwrap()
}

#[tokio::test]
async fn secrets_are_dropped_when_a_job_and_a_session_are_over() {
    let (_dir, store) = make();
    let secret = secret_job("s", "j");
    let live = session("s").with_env(many_variables());
    store.commit(vec![new_session(live.clone()), new_job(secret.clone())]).await.unwrap();
    for text in ["hidden-env", "hidden-stdin", "hidden-command", "hidden-variable"] {
        assert!(contents(&store.db).contains(text), "{text}");
    }
    assert_eq!(store.command(job_id("j")).await.unwrap(), Some(secret_command()));

    let cancelled = job::Outcome::Cancelled { exit: None, failure: None };
    let job = Job::from(secret.end(cancelled, at(1)));
    let stop = Event::Stop { reason: domain::session::Reason::UserStop, note: None };
    let over = testkit::finish(live.on(stop, stamp(1)).unwrap().session, stamp(2)).session;
    let first = Expect::At(Version(1));
    let writes = vec![Write::Job(Box::new(job), first), Write::Session(Box::new(over), first)];
    store.commit(writes).await.unwrap();
    assert!(!contents(&store.db).contains("hidden"), "{}", contents(&store.db));
    assert_eq!(store.command(job_id("j")).await.unwrap(), None);
}

#[tokio::test]
async fn lists_read_neither_commands_nor_variables() {
    let (_dir, store) = make();
    let session = session("s").with_env(many_variables());
    store.commit(vec![new_session(session), new_job(secret_job("s", "j"))]).await.unwrap();
    let jobs = store.jobs(session_id("s"), None, 9).await.unwrap().items;
    assert!(jobs[0].command().unwrap().is_outline());
    let open = store.open_jobs(session_id("s"), Concurrency::Serial, 9).await.unwrap();
    assert!(open[0].value.command().unwrap().is_outline());
    let sessions = store.sessions(&user_id(), None, None, 9).await.unwrap().items;
    assert!(sessions[0].common().spec.env.expose().is_empty());
}

/// Writes a database as version 1 of the schema had it.
fn write_version_1(dir: &Path, jobs: &[Job], sessions: &[Session]) {
    let db = Connection::open(dir.join("ephemeral.db")).unwrap();
    db.execute_batch(include_str!("../database/schema-1.sql")).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    for job in jobs {
        let due_at = job.due_at().map(Timestamp::millis);
        db.execute(
            "INSERT INTO jobs (id, session, open, due_at, version, record) VALUES (?1, ?2, ?3, ?4, 1, ?5)",
            rusqlite::params![
                job.id().ulid().to_bytes(),
                job.common().session.ulid().to_bytes(),
                i64::from(due_at.is_some()),
                due_at,
                serde_json::to_string(job).unwrap()
            ],
        )
        .unwrap();
    }
    for session in sessions {
        let ended = if let Session::Ended(ended) = session {
            Some(ended.ended_at().millis())
        } else {
            None
        };
        db.execute(
            "INSERT INTO sessions (id, user, status, waiting, open, due_at, ended_at, version, record)
             VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, 1, ?7)",
            rusqlite::params![
                session.id().ulid().to_bytes(),
                session.user().as_str(),
                session.status().name(),
                session.is_open(),
                session.due_at().map(Timestamp::millis),
                ended,
                serde_json::to_string(session).unwrap()
            ],
        )
        .unwrap();
    }
    db.execute(
        "INSERT INTO output (job, stream, start, bytes) VALUES (?1, 'stdout', 0, ?2)",
        rusqlite::params![job_id("over").ulid().to_bytes(), vec![b'x'; 5000]],
    )
    .unwrap();
    db.execute("INSERT INTO quota (user, active) VALUES (?1, 1)", [user_id().as_str()]).unwrap();
}

#[tokio::test]
async fn records_of_the_first_version_of_the_schema_are_read_and_their_secrets_moved() {
    let dir = tempdir().unwrap();
    let cancelled = || job::Outcome::Cancelled { exit: None, failure: None };
    let jobs: [Job; 3] = [
        secret_job("s", "queued").into(),
        secret_job("s", "running").claim("w", at(1)).into(),
        secret_job("old", "over").end(cancelled(), at(1)).into(),
    ];
    let sessions = [session("s").with_env(many_variables()), ended("old")];
    write_version_1(dir.path(), &jobs, &sessions);
    let store = open(dir.path());
    for name in ["queued", "running"] {
        let command = store.command(job_id(name)).await.unwrap();
        assert_eq!(command, Some(secret_command()), "{name}");
    }
    for job in &jobs {
        let read = store.job(job.id()).await.unwrap().unwrap();
        assert_eq!((read.value, read.version), (job.clone().outline(), Version(1)));
    }
    let read = store.session(session_id("s")).await.unwrap().unwrap().value;
    assert_eq!(read, sessions[0]);
    assert_eq!(store.command(job_id("over")).await.unwrap(), None);
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 1);

    // What was stored before counts, and stops to count when it is forgotten.
    let stored = |store: &SqliteStore| {
        let sql = "SELECT bytes FROM quota WHERE user = ?1";
        let read = |db: &Connection| db.query_one(sql, [user_id().as_str()], |row| row.get(0));
        store.db.read("reading bytes", read).unwrap()
    };
    let before: u64 = stored(&store);
    assert!(before > 5000, "{before}");
    assert_eq!(store.forget(at(100), 10).await.unwrap(), 1);
    let after: u64 = stored(&store);
    assert!(after < before - 5000 && after > 0, "{before} {after}");
    drop(store);
    open(dir.path());
}

#[tokio::test]
async fn the_stored_bytes_of_a_user_are_none_when_all_is_forgotten() {
    let (_dir, store) = make();
    let answer = IdempotentResponse {
        user: user_id(),
        key: "key".into(),
        fingerprint: "f".into(),
        status: 202,
        location: None,
        body: Secret::new("x".repeat(1000)),
        created_at: at(0),
        expires_at: at(10),
    };
    let piece = Write::Output {
        job: job_id("j"),
        stream: Stream::Stdout,
        offset: 0,
        bytes: Secret::new(vec![b'x'; 9000]),
    };
    let cancelled = job::Outcome::Cancelled { exit: None, failure: None };
    store
        .commit(vec![
            new_session(ended("s")),
            new_job(secret_job("s", "j").end(cancelled, at(1))),
            piece,
            Write::Delivery(Box::new(delivery_over("s", "d")), Expect::New),
            Write::IdempotentResponse(Box::new(answer)),
        ])
        .await
        .unwrap();
    let counts = |store: &SqliteStore| -> (u64, u64) {
        let sql = "SELECT (SELECT sum(bytes) FROM quota), (SELECT count(*) FROM usage)";
        let read = |db: &Connection| db.query_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
        store.db.read("reading bytes", read).unwrap()
    };
    let (bytes, sessions) = counts(&store);
    assert!(bytes > 10_000 && sessions == 1, "{bytes} {sessions}");
    store.forget(at(100), 10).await.unwrap();
    assert_eq!(counts(&store), (0, 0));
}

fn delivery_over(session: &str, name: &str) -> Delivery {
    let Delivery::Pending(pending) = delivery(session, name) else { panic!("it is pending") };
    pending.disabled(None, at(1)).into()
}
