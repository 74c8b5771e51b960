//! Measures how many execute requests a second the store and the queue accept:
//! `cargo run -p local --release --example commits -- [CALLERS] [SECONDS]`.
//!
//! Each request is one durable commit, as in the API, and one message; a worker receives the messages.

use std::{
    error::Error,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{
    JobId, Secret, SessionId, UserId,
    job::{Common, Job, Work},
    message::{Lane, Message},
    ports::{Clock, Expect, IdempotentResponse, Ids, Queue, Store, Write},
    session::Queued,
    timeline::{Actor, Stamp},
};
use local::{
    clock::{MonotonicIds, SystemClock},
    database::Database,
    queue::SqliteQueue,
    store::SqliteStore,
};
use testkit::{command, spec};

const SESSIONS: u64 = 8;

struct Bench {
    store: SqliteStore,
    queue: SqliteQueue,
    ids: MonotonicIds,
    user: UserId,
    sessions: Vec<SessionId>,
    over: AtomicBool,
    accepted: AtomicU64,
    received: AtomicU64,
    micros: AtomicU64,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let callers: usize = args.next().map_or(Ok(32), |text| text.parse())?;
    let seconds: u64 = args.next().map_or(Ok(3), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let bench = Arc::new(Bench::new(dir.path()).await?);
    let worker = tokio::spawn(work(Arc::clone(&bench)));
    let calls: Vec<_> = (0..callers).map(|_| tokio::spawn(call(Arc::clone(&bench)))).collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    bench.over.store(true, Ordering::Relaxed);
    for caller in calls {
        caller.await??;
    }
    worker.abort();
    let (accepted, received) =
        (bench.accepted.load(Ordering::Relaxed), bench.received.load(Ordering::Relaxed));
    let mean = bench.micros.load(Ordering::Relaxed) / accepted.max(1);
    let rate = accepted / seconds;
    let mut out = std::io::stdout();
    writeln!(out, "{callers} callers: {rate}/s accepted, {mean} µs each, {received} messages")?;
    Ok(())
}

impl Bench {
    async fn new(dir: &std::path::Path) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let db = Database::open(dir)?;
        let store = SqliteStore::new(db.clone(), Arc::default());
        let queue = SqliteQueue::open(db, Arc::new(SystemClock))?;
        let (ids, user) = (MonotonicIds::default(), UserId::new("ann"));
        let stamp = Stamp::new(Actor::User, SystemClock.now());
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            let (id, job) = (SessionId::from_ulid(ids.ulid()), JobId::from_ulid(ids.ulid()));
            let session = Queued::accept(id, user.clone(), job, spec(), stamp).any().session;
            store.commit(vec![Write::Session(Box::new(session), Expect::New)]).await?;
            sessions.push(id);
        }
        let (over, accepted) = (AtomicBool::default(), AtomicU64::default());
        let (received, micros) = (AtomicU64::default(), AtomicU64::default());
        Ok(Self { store, queue, ids, user, sessions, over, accepted, received, micros })
    }

    fn accept(&self, session: SessionId) -> Vec<Write> {
        let (id, now) = (JobId::from_ulid(self.ids.ulid()), SystemClock.now());
        let user = self.user.clone();
        let work = Work::Execute(Box::new(command("echo hello")));
        let job = Job::accept(Common { id, session, user: user.clone(), work, created_at: now });
        let answer = IdempotentResponse {
            user,
            key: id.to_string(),
            fingerprint: "0".repeat(64),
            status: 202,
            location: Some(format!("/v1/jobs/{id}")),
            body: Secret::new(format!("{{\"jobId\":\"{id}\",\"sessionId\":\"{session}\"}}")),
            created_at: now,
            expires_at: now + Duration::from_hours(24),
        };
        vec![
            Write::IdempotentResponse(Box::new(answer)),
            Write::RequireOpen(session),
            Write::Job(Box::new(job.into()), Expect::New),
        ]
    }
}

async fn call(bench: Arc<Bench>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut turn = 0;
    while !bench.over.load(Ordering::Relaxed) {
        turn += 1;
        let session = bench.sessions[turn % bench.sessions.len()];
        let begun = Instant::now();
        bench.store.session(session).await?;
        bench.store.commit(bench.accept(session)).await?;
        bench.queue.send(&Message::RunJob { session }, Duration::ZERO).await?;
        let took = u64::try_from(begun.elapsed().as_micros())?;
        bench.micros.fetch_add(took, Ordering::Relaxed);
        bench.accepted.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn work(bench: Arc<Bench>) {
    loop {
        let now = SystemClock.now();
        let batch = bench.queue.receive(Lane::Exec, now, 10, Duration::from_secs(30));
        if batch.is_empty() {
            bench.queue.arrival(Lane::Exec).await;
        }
        for received in batch {
            bench.received.fetch_add(1, Ordering::Relaxed);
            bench.queue.ack(received.receipt);
        }
    }
}
