//! Limits on what is stored, queued and run.

use domain::{
    Secret, UserId,
    command::{Command, Concurrency},
    job::{Outcome, Work},
    ports::{CommitError, Expect, QueueLimits, RunLimits, StorageLimits, Stream, Write},
    session::{Event, Reason},
};
use futures::future::join_all;

use super::{Made, after, at, first, job, job_of, put, put_job, put_session, queued, stamp};
use crate::{command, finish, job_id, session_id, user_id};

const MIB: u64 = 1 << 20;

pub(super) async fn a_user_stores_no_more_than_the_limits(store: &Made) {
    accept(store, "s").await;
    accept(store, "t").await;
    store_output(store, "s", MIB).await;
    for (name, bytes, user, session, fits) in [
        ("s", MIB, 4 * MIB, 4 * MIB, true),
        ("s", MIB, 4 * MIB, 3 * MIB / 2, false),
        ("s", 4 * MIB, 4 * MIB, 8 * MIB, false),
        ("t", MIB, 4 * MIB, 3 * MIB / 2, true),
        ("t", MIB, 3 * MIB / 2, 4 * MIB, false),
    ] {
        let user_limits = StorageLimits { user, session };
        assert_eq!(has_room(store, name, bytes, user_limits).await, fits, "{bytes} for {name}");
    }
    let other = Write::RequireStorage {
        user: UserId::new("bob"),
        session: session_id("u"),
        bytes: MIB,
        limits: StorageLimits { user: 3 * MIB / 2, session: 3 * MIB / 2 },
    };
    put(store, vec![other]).await;
}

pub(super) async fn what_is_forgotten_makes_room(store: &Made) {
    let stop = Event::Stop { reason: Reason::UserStop, note: None };
    let ended = finish(after(queued("s").session, [stop]), stamp(5)).session;
    put(store, vec![put_session(&ended, Expect::New)]).await;
    let outcome = Outcome::Cancelled { exit: None, failure: None };
    put(store, vec![put_job(job("s", "s").end(outcome, at(1)), Expect::New)]).await;
    store_output(store, "s", MIB).await;
    let limits = StorageLimits { user: 3 * MIB / 2, session: 9 * MIB };
    assert!(!has_room(store, "t", MIB, limits).await);
    assert_eq!(store.forget(at(100), 10).await.unwrap(), 1);
    assert!(has_room(store, "t", MIB, limits).await);
}

pub(super) async fn a_session_has_no_more_unfinished_commands_than_the_limits(store: &Made) {
    let large = Command { stdin: Secret::new(vec![b'x'; 60_000]), ..command("cat") };
    let work = Work::Execute(Box::new(large));
    put(store, vec![put_job(job_of("s", "a", work), Expect::New)]).await;
    put(store, vec![put_job(job("s", "b"), Expect::New)]).await;
    for (session, jobs, bytes, fits) in [
        ("s", 3, 100_000, true),
        ("s", 2, 100_000, false),
        ("s", 3, 61_000, false),
        ("t", 1, 20_000, true),
    ] {
        let limits = QueueLimits { jobs, bytes };
        let require =
            Write::RequireQueueRoom { session: session_id(session), bytes: 10_000, limits };
        let result = store.commit(vec![require]).await;
        let is_full = matches!(result, Err(CommitError::QueueFull));
        assert_eq!((result.is_ok(), is_full), (fits, !fits), "{session} {limits:?}");
    }
    let outcome = Outcome::Cancelled { exit: None, failure: None };
    put(store, vec![put_job(job("s", "a").end(outcome, at(1)), first())]).await;
    let limits = QueueLimits { jobs: 2, bytes: 61_000 };
    let session = session_id("s");
    put(store, vec![Write::RequireQueueRoom { session, bytes: 10_000, limits }]).await;
}

pub(super) async fn a_user_runs_no_more_commands_than_the_limits(store: &Made) {
    for (session, name) in [("s", "a"), ("s", "b"), ("t", "c")] {
        put(store, vec![put_job(job(session, name).claim("w", at(0)), Expect::New)]).await;
    }
    put(store, vec![put_job(job("t", "d"), Expect::New)]).await;
    let ann = user_id();
    for (user, session, limits, fits) in [
        (&ann, "s", (4, 3), true),
        (&ann, "s", (3, 3), false),
        (&ann, "s", (4, 2), false),
        (&ann, "t", (4, 2), true),
        (&UserId::new("bob"), "u", (1, 1), true),
    ] {
        let result = store.commit(vec![require(user, session, limits)]).await;
        let is_full = matches!(result, Err(CommitError::TooManyRunning));
        assert_eq!((result.is_ok(), is_full), (fits, !fits), "{session} {limits:?}");
    }
    let outcome = Outcome::Cancelled { exit: None, failure: None };
    let ended = job("s", "a").claim("w", at(0)).end(outcome, None, at(1));
    put(store, vec![put_job(ended, first())]).await;
    put(store, vec![require(&ann, "s", (3, 2))]).await;
}

pub(super) async fn a_race_for_places_never_exceeds_the_limit(store: &Made) {
    let names: Vec<String> = (0..20).map(|n| format!("j{n:02}")).collect();
    let parallel = Command { concurrency: Concurrency::Parallel, ..command("true") };
    for name in &names {
        let work = Work::Execute(Box::new(parallel.clone()));
        put(store, vec![put_job(job_of("s", name, work), Expect::New)]).await;
    }
    let claims = names.iter().map(|name| {
        let work = Work::Execute(Box::new(parallel.clone()));
        let running = job_of("s", name, work).claim("w", at(1));
        let writes = vec![put_job(running, first()), require(&user_id(), "s", (9, 5))];
        async move { store.commit(writes).await.is_ok() }
    });
    let claimed = join_all(claims).await.into_iter().filter(|claimed| *claimed).count();
    assert_eq!(claimed, 5);
}

async fn accept(store: &Made, name: &str) {
    put(store, vec![put_session(&queued(name).session, Expect::New)]).await;
    put(store, vec![put_job(job(name, name), Expect::New)]).await;
}

/// Stores output of the job that has the session's name.
async fn store_output(store: &Made, name: &str, bytes: u64) {
    let bytes = Secret::new(vec![b'x'; usize::try_from(bytes).expect("a small number")]);
    let (job, stream) = (job_id(name), Stream::Stdout);
    put(store, vec![Write::Output { job, stream, offset: 0, bytes }]).await;
}

async fn has_room(store: &Made, name: &str, bytes: u64, limits: StorageLimits) -> bool {
    let (user, session) = (user_id(), session_id(name));
    match store.commit(vec![Write::RequireStorage { user, session, bytes, limits }]).await {
        Ok(()) => true,
        Err(CommitError::StorageExceeded) => false,
        other => panic!("{other:?}"),
    }
}

fn require(user: &UserId, name: &str, (of_user, of_session): (u32, u32)) -> Write {
    let limits = RunLimits { user: of_user, session: of_session };
    Write::RequireRunRoom { user: user.clone(), session: session_id(name), limits }
}
