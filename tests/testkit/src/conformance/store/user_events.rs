//! The events of users.

use domain::{
    EventId, Secret, UserId,
    ports::{BackendError, CommitError, Expect, Write},
    user_event::{EventNumber, UserEvent},
    webhook::EventType,
};
use futures::future::join_all;

use super::{Made, at, conflicts, put, put_session, queued};
use crate::{session_id, user_id};

pub(super) async fn events_of_a_user_are_numbered_in_the_order_of_their_commits(store: &Made) {
    put(store, vec![write("b"), write("a")]).await;
    put(store, vec![write("c")]).await;
    assert_eq!(numbered(store, 0, 10).await, [(1, id("b")), (2, id("a")), (3, id("c"))]);
    assert_eq!(numbered(store, 1, 1).await, [(2, id("a"))]);
    assert_eq!(numbered(store, 3, 10).await, []);
    assert_eq!(store.last_event(&user_id()).await.unwrap(), EventNumber(3));
    let read = store.user_events(&user_id(), EventNumber(0), 1).await.unwrap();
    assert_eq!(read, [(EventNumber(1), event("b"))]);
}

pub(super) async fn a_user_reads_no_events_of_others(store: &Made) {
    let other = UserId::new("other");
    let of_other = UserEvent { user: other.clone(), ..event("a") };
    put(store, vec![Write::UserEvent(Box::new(of_other))]).await;
    assert_eq!(numbered(store, 0, 10).await, []);
    assert_eq!(store.last_event(&user_id()).await.unwrap(), EventNumber(0));
    put(store, vec![write("b")]).await;
    assert_eq!(numbered(store, 0, 10).await, [(1, id("b"))]);
    assert_eq!(store.last_event(&other).await.unwrap(), EventNumber(1));
}

pub(super) async fn a_failed_transaction_adds_no_event(store: &Made) {
    let session = put_session(&queued("s").session, Expect::New);
    put(store, vec![session.clone()]).await;
    conflicts(store, vec![write("a"), session]).await;
    assert_eq!(numbered(store, 0, 10).await, []);
    put(store, vec![write("b")]).await;
    assert_eq!(numbered(store, 0, 10).await, [(1, id("b"))]);
}

pub(super) async fn concurrent_events_of_a_user_get_numbers_without_gaps(store: &Made) {
    let names = ["a", "b", "c", "d", "e", "f"];
    let commits = names.map(|name| store.commit(vec![write(name)]));
    let results: Vec<Result<(), CommitError>> = join_all(commits).await;
    results.into_iter().for_each(|result| result.unwrap());
    let read = numbered(store, 0, 10).await;
    assert_eq!(read.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let mut ids: Vec<_> = read.into_iter().map(|(_, id)| id).collect();
    ids.sort();
    let mut all = names.map(id);
    all.sort();
    assert_eq!(ids, all);
}

async fn numbered(store: &Made, after: u64, limit: u32) -> Vec<(u64, EventId)> {
    let read: Result<_, BackendError> =
        store.user_events(&user_id(), EventNumber(after), limit).await;
    read.unwrap().into_iter().map(|(number, event)| (number.0, event.id)).collect()
}

fn id(name: &str) -> EventId {
    EventId::of(session_id(name), 1, at(0))
}

fn write(name: &str) -> Write {
    Write::UserEvent(Box::new(event(name)))
}

fn event(name: &str) -> UserEvent {
    UserEvent {
        id: id(name),
        user: user_id(),
        session: session_id("s"),
        job: None,
        event: EventType::SessionReady,
        at: at(0),
        expires_at: at(1_000_000_000),
        body: Secret::new(format!(r#"{{"data":"{name}"}}"#)),
    }
}
