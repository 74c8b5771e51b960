//! Deletes ended sessions, each with all items that belong to it.
//!
//! DynamoDB's own expiry (TTL) is not used for sessions: it deletes single items in any order and up to
//! days late. Here a session is deleted when its retention ends, and its record last, so that an
//! interrupted deletion is found and completed by the next sweep. Items on which no other item depends
//! (idempotent responses, final warm tasks, finished jobs without other items) do expire by TTL, which is free.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::{DeleteRequest, WriteRequest};
use domain::{DeliveryId, JobId, SessionId, Timestamp, ports::Stream, session::Session};
use ulid::Ulid;

use super::{
    backoff::Backoff,
    due,
    error::StoreError,
    keys::{self, Attributes, DUE, Key, LIST_KEY, TTL, deliveries_of},
    record::has_part,
    table::{Bounds, Range, Table},
};

/// Deletions that BatchWriteItem accepts in one call.
const MAX_DELETES_PER_CALL: usize = 25;
/// Largest difference between the clocks that produced the ids of a session and of its deliveries.
const MAX_CLOCK_SKEW: Duration = Duration::from_hours(1);

/// Deletes up to `limit` sessions that ended before `before`; returns how many were deleted.
pub(super) async fn forget(
    table: &Table,
    before: Timestamp,
    limit: u32,
) -> Result<u32, StoreError> {
    let mut forgotten = 0;
    for id in due::ended(table, before, limit).await? {
        let Some(read) = table.record::<Session>(id).await? else { continue };
        forgotten += u32::from(forget_session(table, &read.value).await?);
    }
    Ok(forgotten)
}

/// Returns false, and deletes nothing, while a record of the session is not final: a webhook delivery may
/// outlive its session.
async fn forget_session(table: &Table, session: &Session) -> Result<bool, StoreError> {
    let id = session.id();
    let mut owned = jobs(table, id).await?;
    owned.extend(deliveries(table, session).await?);
    let records = table.get_all(&owned).await?;
    let is_due = records.values().any(|item| item.contains_key(DUE));
    if is_due || super::jobs::has_open(table, id).await? {
        return Ok(false);
    }
    let mut keys = vec![Key::waiting(session.user(), id)];
    for (key, item) in records.into_iter().filter(|(_, item)| !item.contains_key(TTL)) {
        keys.extend(of_record(table, key, &item).await?);
    }
    let siblings = table.all(Range::of(id.to_string(), Bounds::All).keys_only()).await?;
    keys.extend(siblings.iter().filter_map(Key::of).filter(|key| *key != Key::record(id)));
    table.delete(keys).await?;
    table.delete(vec![Key::record(id)]).await?;
    Ok(true)
}

/// The keys of a record and of its part or output.
async fn of_record(table: &Table, key: Key, item: &Attributes) -> Result<Vec<Key>, StoreError> {
    let has_output = [Stream::Stdout, Stream::Stderr].iter().any(|of| item.contains_key(of.name()));
    if has_output {
        let all = table.all(Range::of(key.pk, Bounds::All).keys_only()).await?;
        return Ok(all.iter().filter_map(Key::of).collect());
    }
    let part = has_part(item).then(|| Key::part(&key.pk));
    Ok(part.into_iter().chain([key]).collect())
}

async fn jobs(table: &Table, session: SessionId) -> Result<Vec<Key>, StoreError> {
    let listed = table.all(Range::listed(session.to_string(), Bounds::All)).await?;
    let ids = listed.iter().filter_map(|item| keys::text(item, LIST_KEY)?.parse::<JobId>().ok());
    Ok(ids.map(Key::record).collect())
}

/// Ids sort by creation time, and a session's deliveries are created during its life.
async fn deliveries(table: &Table, session: &Session) -> Result<Vec<Key>, StoreError> {
    let Session::Ended(ended) = session else { return Ok(Vec::new()) };
    let first = session.common().created_at - MAX_CLOCK_SKEW;
    let last = ended.ended_at() + MAX_CLOCK_SKEW;
    let id_at = |at: Timestamp, random| {
        let millis = at.millis().unsigned_abs();
        DeliveryId::from_ulid(Ulid::from_parts(millis, random)).to_string()
    };
    let bounds = Bounds::Between(id_at(first, 0), id_at(last, u128::MAX));
    let listed = table.all(Range::listed(deliveries_of(session.user()), bounds)).await?;
    let id = session.id().to_string();
    let ids = listed.iter().filter_map(|item| {
        let (delivery, of) = keys::text(item, LIST_KEY)?.split_once('#')?;
        (of == id).then(|| Key::record(delivery))
    });
    Ok(ids.collect())
}

impl Table {
    /// Deletes these items; keys without an item are ignored.
    async fn delete(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        for keys in keys.chunks(MAX_DELETES_PER_CALL) {
            let mut left: Vec<WriteRequest> = keys.iter().map(deletion).collect();
            let mut backoff = Backoff::new();
            loop {
                left = self.delete_some(left).await?;
                if left.is_empty() {
                    break;
                }
                backoff.wait("unprocessed items").await?;
            }
        }
        Ok(())
    }

    /// Deletes what one call can; returns the requests that DynamoDB left unprocessed.
    async fn delete_some(
        &self,
        requests: Vec<WriteRequest>,
    ) -> Result<Vec<WriteRequest>, StoreError> {
        let requests = HashMap::from([(self.name.clone(), requests)]);
        let call = self.client.batch_write_item().set_request_items(Some(requests));
        let done = call.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        let left = done.unprocessed_items.and_then(|mut all| all.remove(&self.name));
        Ok(left.unwrap_or_default())
    }
}

fn deletion(key: &Key) -> WriteRequest {
    let request = DeleteRequest::builder().set_key(Some(key.attributes())).build();
    WriteRequest::builder().delete_request(request.expect("the key is set")).build()
}
