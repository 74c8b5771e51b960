//! Removes ended sessions, each with all that belongs to it.
//!
//! Not left to the table's own expiry, which takes items one by one, in any order and days late: a
//! session goes when it is said to go, and its record last, so that a broken-off removal is found and
//! finished by the next. What nothing hangs on (answers, final warm tasks) does expire by itself.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::{DeleteRequest, WriteRequest};
use domain::{DeliveryId, JobId, SessionId, Timestamp, ports::Stream, session::Session};
use ulid::Ulid;

use super::{
    due,
    fault::Fault,
    keys::{self, Attributes, DUE, Key, LIST_KEY, hooks_of},
    pace::Pace,
    record::has_part,
    table::{Bounds, Range, Table},
};

/// How many deletions one call may have.
const DELETED_AT_ONCE: usize = 25;
/// How far apart the clocks may be by which a session and its deliveries got their names.
const CLOCKS_APART: Duration = Duration::from_hours(1);

/// Removes up to `limit` sessions that ended before `before`; says how many those were.
pub(super) async fn forget(table: &Table, before: Timestamp, limit: u32) -> Result<u32, Fault> {
    let mut forgotten = 0;
    for id in due::ended(table, before, limit).await? {
        let Some(read) = table.record::<Session>(id).await? else { continue };
        forgotten += u32::from(forget_session(table, &read.value).await?);
    }
    Ok(forgotten)
}

/// False if something of it is still due: a webhook may outlast its session.
async fn forget_session(table: &Table, session: &Session) -> Result<bool, Fault> {
    let id = session.id();
    let mut owned = jobs(table, id).await?;
    owned.extend(deliveries(table, session).await?);
    let records = table.get_all(&owned).await?;
    if records.values().any(|item| item.contains_key(DUE)) {
        return Ok(false);
    }
    let mut doomed = vec![Key::waiting(session.user(), id)];
    for (key, item) in records {
        doomed.extend(of_record(table, key, &item).await?);
    }
    let beside = table.all(Range::of(id.to_string(), Bounds::All).keys_only()).await?;
    doomed.extend(beside.iter().filter_map(Key::of).filter(|key| *key != Key::record(id)));
    table.delete(doomed).await?;
    table.delete(vec![Key::record(id)]).await?;
    Ok(true)
}

/// A record's item with all that is beside it.
async fn of_record(table: &Table, key: Key, item: &Attributes) -> Result<Vec<Key>, Fault> {
    let has_output =
        [Stream::Stdout, Stream::Stderr].iter().any(|one| item.contains_key(one.name()));
    if has_output {
        let all = table.all(Range::of(key.pk, Bounds::All).keys_only()).await?;
        return Ok(all.iter().filter_map(Key::of).collect());
    }
    let part = has_part(item).then(|| Key::part(&key.pk));
    Ok(part.into_iter().chain([key]).collect())
}

async fn jobs(table: &Table, session: SessionId) -> Result<Vec<Key>, Fault> {
    let listed = table.all(Range::listed(session.to_string(), Bounds::All)).await?;
    let ids = listed.iter().filter_map(|item| keys::text(item, LIST_KEY)?.parse::<JobId>().ok());
    Ok(ids.map(Key::record).collect())
}

/// Ids sort by the time they were made, and a session's deliveries are made during its life.
async fn deliveries(table: &Table, session: &Session) -> Result<Vec<Key>, Fault> {
    let Session::Ended(ended) = session else { return Ok(Vec::new()) };
    let first = session.common().created_at - CLOCKS_APART;
    let last = ended.ended_at() + CLOCKS_APART;
    let id_at = |at: Timestamp, random| {
        let millis = at.millis().unsigned_abs();
        DeliveryId::from_ulid(Ulid::from_parts(millis, random)).to_string()
    };
    let bounds = Bounds::Between(id_at(first, 0), id_at(last, u128::MAX));
    let listed = table.all(Range::listed(hooks_of(session.user()), bounds)).await?;
    let id = session.id().to_string();
    let ids = listed.iter().filter_map(|item| {
        let (delivery, of) = keys::text(item, LIST_KEY)?.split_once('#')?;
        (of == id).then(|| Key::record(delivery))
    });
    Ok(ids.collect())
}

impl Table {
    /// Deletes these items. Those that are not there do no harm.
    async fn delete(&self, keys: Vec<Key>) -> Result<(), Fault> {
        for keys in keys.chunks(DELETED_AT_ONCE) {
            let mut left: Vec<WriteRequest> = keys.iter().map(deletion).collect();
            let mut pace = Pace::new();
            loop {
                left = self.delete_some(left).await?;
                if left.is_empty() {
                    break;
                }
                if !pace.next().await {
                    let last = "unprocessed items".to_owned();
                    return Err(Fault::GivenUp { tries: pace.tries(), last });
                }
            }
        }
        Ok(())
    }

    /// What one call left for another.
    async fn delete_some(&self, requests: Vec<WriteRequest>) -> Result<Vec<WriteRequest>, Fault> {
        let requests = HashMap::from([(self.name.clone(), requests)]);
        let call = self.client.batch_write_item().set_request_items(Some(requests));
        let done = call.send().await.map_err(|error| Fault::of(&error))?;
        let left = done.unprocessed_items.and_then(|mut all| all.remove(&self.name));
        Ok(left.unwrap_or_default())
    }
}

fn deletion(key: &Key) -> WriteRequest {
    let request = DeleteRequest::builder().set_key(Some(key.attributes())).build();
    WriteRequest::builder().delete_request(request.expect("the key is set")).build()
}
