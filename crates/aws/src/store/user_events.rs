//! The events of users: one item each, in a partition of the user.
//!
//! The number of an event is part of its key. It is one more than that of the user's last event when the
//! transaction is composed; if another transaction was faster, the item exists and the transaction is
//! composed again. So the numbers have no gaps, and no event appears before one that was read already.
//!
//! Events expire. So that the numbers go on after the last of them has, a transaction that changes the user's slots, as
//! the end of a session does, also keeps the number there.

use domain::{
    UserId,
    user_event::{EventNumber, UserEvent},
};

use super::{
    error::StoreError,
    item::{ConditionFailure, Item},
    keys::{self, Key, LAST_EVENT, RECORD, SK, TTL, number_value},
    record,
    table::{Bounds, Range, Table},
};

/// Adds the items of events, with the numbers after the user's last one.
pub(super) async fn add(
    table: &Table,
    events: &[UserEvent],
    items: &mut Vec<Item>,
) -> Result<(), StoreError> {
    let Some(first) = events.first() else { return Ok(()) };
    let mut number = last(table, &first.user).await?;
    for event in events {
        number = number.next();
        items.push(item(event, number)?);
    }
    let slots = Key::slots(&first.user);
    if let Some(slots) = items.iter_mut().find(|item| item.key == slots) {
        *slots = slots.clone().set(LAST_EVENT, number_value(number.0));
    }
    Ok(())
}

/// The user's event of this number exists.
const NUMBER_TAKEN: ConditionFailure =
    ConditionFailure::Outdated("the user had other events at the same time");

fn item(event: &UserEvent, number: EventNumber) -> Result<Item, StoreError> {
    // DynamoDB expires items by the second.
    let expires = number_value(event.expires_at.millis() / 1000 + 1);
    let attributes = [(RECORD.to_owned(), record::plain(event)?), (TTL.to_owned(), expires)];
    let item = Item::put(Key::user_event(&event.user, number), attributes.into());
    Ok(item.when_none(RECORD).on_failure(NUMBER_TAKEN))
}

/// The first `limit` of a user's events after this number.
pub(super) async fn after(
    table: &Table,
    user: &UserId,
    after: EventNumber,
    limit: u32,
) -> Result<Vec<(EventNumber, UserEvent)>, StoreError> {
    let above = Key::user_event(user, after);
    let range = Range::of(above.pk, Bounds::Above(above.sk)).paged(limit);
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut pages = table.pages(range);
    let mut events = Vec::new();
    while events.len() < wanted
        && let Some(items) = pages.next().await?
    {
        for item in items {
            let number = keys::text(&item, SK).and_then(|sk| sk.parse().ok());
            let number = EventNumber(number.ok_or(StoreError::Decode)?);
            events.push((number, record::decode_plain(&item)?));
        }
    }
    events.truncate(wanted);
    Ok(events)
}

/// The number of a user's last event, also if the event has expired; 0 if there is none.
pub(crate) async fn last(table: &Table, user: &UserId) -> Result<EventNumber, StoreError> {
    let all = Range::of(keys::events_of(user), Bounds::All).newest_first().paged(1);
    let newest = table.pages(all.keys_and_expiry()).next_non_empty().await?;
    let newest = newest.first();
    let stored = newest.and_then(|item| keys::text(item, SK)?.parse().ok()).unwrap_or_default();
    // Expired items are removed in any order, so there may have been a newer one.
    if newest.is_some_and(|item| !record::is_expired(item)) {
        return Ok(EventNumber(stored));
    }
    let slots = table.get(&Key::slots(user)).await?;
    let kept = slots.and_then(|item| keys::number(&item, LAST_EVENT)).unwrap_or_default();
    Ok(EventNumber(stored.max(kept)))
}
