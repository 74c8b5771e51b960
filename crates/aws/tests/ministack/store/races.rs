//! Concurrent commits.

use aws::store::DynamoStore;
use domain::{
    UserId,
    ports::{CommitError, Expect, Store, Write},
    session::{Event, Queued, Reason},
};
use futures::future::join_all;
use testkit::{finish, job_id, session_id, spec, user_id};

use super::{Emulator, stamp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_concurrent_starts_never_exceed_the_quota() {
    let Some(emulator) = Emulator::start() else { return };
    let store = emulator.store().await;
    let take = |_| {
        let store = store.clone();
        tokio::spawn(async move {
            store.commit(vec![Write::TakeSlot { user: user_id(), limit: 5 }]).await
        })
    };
    let results = join_all((0..50).map(take)).await;
    let taken = results.iter().filter(|result| matches!(result, Ok(Ok(())))).count();
    let refused = |result: &&Result<_, _>| matches!(result, Ok(Err(CommitError::QuotaReached)));
    assert_eq!((taken, results.iter().filter(refused).count()), (5, 45));
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 5);
}

#[tokio::test]
async fn freeing_a_slot_that_is_not_taken_changes_nothing() {
    let Some(emulator) = Emulator::start() else { return };
    let store = emulator.store().await;
    let free = Write::FreeSlot { user: user_id(), session: session_id("s") };
    store.commit(vec![free.clone()]).await.unwrap();
    let session = super::session("s");
    let write = Write::Session(Box::new(session.clone()), Expect::New);
    store.commit(vec![write, free]).await.unwrap();
    assert_eq!(store.session(session.id()).await.unwrap().unwrap().value, session);
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 0);
}

/// What accepts a session of a user of its own.
fn start(name: &str) -> Vec<Write> {
    let user = UserId::new(name);
    let (id, job) = (session_id(name), job_id(name));
    let session = Queued::accept(id, user.clone(), job, spec(), stamp(0)).any().session;
    let size = session.common().spec.size;
    vec![
        Write::TakeSlot { user, limit: 5 },
        Write::RequireCapacity { session: id, size },
        Write::Session(Box::new(session), Expect::New),
    ]
}

/// Ends this session by one write, with its slot.
async fn end(store: &DynamoStore, name: &str) -> Result<(), CommitError> {
    let read = store.session(session_id(name)).await.unwrap().unwrap();
    let stop = Event::Stop { reason: Reason::UserStop, note: None };
    let stopping = read.value.on(stop, stamp(1)).unwrap().session;
    let ended = finish(stopping, stamp(2)).session;
    let (user, session) = (ended.user().clone(), ended.id());
    let write = Write::Session(Box::new(ended), Expect::At(read.version));
    store.commit(vec![write, Write::FreeSlot { user, session }]).await
}

/// Starts sessions with these names at once. Returns the names of those that were accepted.
async fn start_all(store: &DynamoStore, names: &[String]) -> Vec<String> {
    let start = |name: &String| {
        let (store, name) = (store.clone(), name.clone());
        tokio::spawn(async move { (store.commit(start(&name)).await, name) })
    };
    let mut accepted = Vec::new();
    for result in join_all(names.iter().map(start)).await {
        match result.unwrap() {
            (Ok(()), name) => accepted.push(name),
            (Err(CommitError::NoCapacity), name) => {
                assert!(store.session(session_id(&name)).await.unwrap().is_none());
            }
            (Err(error), name) => panic!("{name}: {error}"),
        }
    }
    accepted
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_starts_of_many_users_never_exceed_the_ceiling_and_fill_it() {
    let Some(emulator) = Emulator::start() else { return };
    let store = emulator.store().await.with_max_sessions(Some(40));
    let first = start_all(&store, &names("a", 100)).await;
    assert_eq!(first.len(), 40);
    for name in &first[..10] {
        end(&store, name).await.unwrap();
    }
    assert_eq!(start_all(&store, &names("b", 30)).await.len(), 10);
}

#[tokio::test]
async fn a_session_is_counted_off_once_whatever_the_ceiling_is_by_then() {
    let Some(emulator) = Emulator::start() else { return };
    let unlimited = emulator.store().await;
    let store = unlimited.clone().with_max_sessions(Some(2));
    let starts = async |name: &str| store.commit(start(name)).await.is_ok();
    unlimited.commit(start("before")).await.unwrap();
    assert!(starts("a").await && starts("b").await && !starts("c").await);
    // A session that began without a ceiling is not counted.
    end(&store, "before").await.unwrap();
    assert!(!starts("c").await);
    // The ceiling was taken away, and a session ended meanwhile.
    end(&unlimited, "a").await.unwrap();
    assert!(starts("c").await && !starts("d").await);
    // A commit that fails changes no counter, and neither does one that is repeated.
    assert!(matches!(store.commit(start("b")).await, Err(CommitError::NoCapacity)));
    let read = store.session(session_id("b")).await.unwrap().unwrap();
    let stale = Write::Session(Box::new(read.value.clone()), Expect::New);
    let free = || Write::FreeSlot { user: UserId::new("b"), session: session_id("b") };
    let failed = store.commit(vec![stale, free()]).await;
    assert!(matches!(failed, Err(CommitError::Conflict)), "{failed:?}");
    assert!(!starts("d").await);
    end(&store, "b").await.unwrap();
    let ended = store.session(session_id("b")).await.unwrap().unwrap();
    let again = Write::Session(Box::new(ended.value), Expect::At(ended.version));
    store.commit(vec![again, free()]).await.unwrap();
    assert!(starts("d").await && !starts("e").await);
}
