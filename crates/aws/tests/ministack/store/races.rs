//! Many at once.

use domain::ports::{CommitError, Store, Write};
use futures::future::join_all;
use testkit::user_id;

use super::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_starts_at_once_never_exceed_the_quota() {
    let Some(place) = Place::make() else { return };
    let store = place.store().await;
    let take = |_| {
        let store = store.clone();
        tokio::spawn(async move {
            store.commit(vec![Write::TakeSlot { user: user_id(), limit: 5 }]).await
        })
    };
    let answers = join_all((0..50).map(take)).await;
    let taken = answers.iter().filter(|answer| matches!(answer, Ok(Ok(())))).count();
    let refused = |answer: &&Result<_, _>| matches!(answer, Ok(Err(CommitError::QuotaReached)));
    assert_eq!((taken, answers.iter().filter(refused).count()), (5, 45));
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 5);
}

#[tokio::test]
async fn a_slot_that_nobody_holds_is_freed_without_harm_to_the_rest() {
    let Some(place) = Place::make() else { return };
    let store = place.store().await;
    let free = Write::FreeSlot { user: user_id() };
    store.commit(vec![free.clone()]).await.unwrap();
    let session = super::session("s");
    let write = Write::Session(Box::new(session.clone()), domain::ports::Expect::New);
    store.commit(vec![write, free]).await.unwrap();
    assert_eq!(store.session(session.id()).await.unwrap().unwrap().value, session);
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 0);
}
