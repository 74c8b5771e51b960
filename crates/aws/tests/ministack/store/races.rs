//! Concurrent commits.

use domain::ports::{CommitError, Store, Write};
use futures::future::join_all;
use testkit::user_id;

use super::Emulator;

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
    let free = Write::FreeSlot { user: user_id() };
    store.commit(vec![free.clone()]).await.unwrap();
    let session = super::session("s");
    let write = Write::Session(Box::new(session.clone()), domain::ports::Expect::New);
    store.commit(vec![write, free]).await.unwrap();
    assert_eq!(store.session(session.id()).await.unwrap().unwrap().value, session);
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 0);
}
