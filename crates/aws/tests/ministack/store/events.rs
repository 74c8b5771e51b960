//! The numbers of a user's events after the events have expired.

use domain::{
    EventId, Secret,
    ports::{Store as _, Write},
    user_event::{EventNumber, UserEvent},
    webhook::EventType,
};
use testkit::{session_id, user_id};

use super::{Emulator, at, records::Table};

fn event(name: &str, event: EventType) -> Write {
    let session = session_id(name);
    Write::UserEvent(Box::new(UserEvent {
        id: EventId::of(session, 1, at(0)),
        user: user_id(),
        session,
        job: None,
        event,
        at: at(0),
        // In the past, as the machine's clock shows it.
        expires_at: at(-1_000_000_000),
        body: Secret::new("{}".into()),
    }))
}

/// Removes the items of events with these numbers, as DynamoDB does when they have expired.
async fn expire(table: &Table, numbers: &[u64]) {
    for item in table.items().await {
        let [pk, sk] = ["pk", "sk"].map(|name| item[name].clone());
        let is_expired = pk.as_s().is_ok_and(|pk| pk.starts_with("events#"))
            && sk.as_s().is_ok_and(|sk| numbers.contains(&sk.parse().unwrap()));
        if is_expired {
            let call = table.client.delete_item().table_name(&table.name);
            call.key("pk", pk).key("sk", sk).send().await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_numbers_of_events_go_on_after_all_events_have_expired() {
    let Some(emulator) = Emulator::start() else { return };
    let table = Table::create(&emulator).await;
    let (user, session) = (user_id(), session_id("s"));
    let take = Write::TakeSlot { user: user.clone(), limit: 1 };
    let free = Write::FreeSlot { user: user.clone(), session };
    for writes in [
        vec![take],
        vec![event("s", EventType::SessionReady)],
        vec![event("s", EventType::JobCompleted), event("s", EventType::SessionStopped), free],
    ] {
        table.store.commit(writes).await.unwrap();
    }
    // The item of the latest event may be removed before those of earlier ones.
    for expired in [&[3][..], &[1, 2]] {
        expire(&table, expired).await;
        assert_eq!(table.store.last_event(&user).await.unwrap(), EventNumber(3));
    }
    table.store.commit(vec![event("t", EventType::SessionReady)]).await.unwrap();
    let read = table.store.user_events(&user, EventNumber(3), 9).await.unwrap();
    assert_eq!(read.iter().map(|(number, _)| number.0).collect::<Vec<_>>(), [4]);
    assert_eq!(table.store.last_event(&user).await.unwrap(), EventNumber(4));
    assert_eq!(table.store.quota(&user).await.unwrap().active, 0);
}
