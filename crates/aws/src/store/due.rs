//! Due records. The index lags the table by milliseconds. That is harmless: callers read each record
//! itself before acting on it, and a record that is missing now is listed by the next sweep.

use domain::{DeliveryId, JobId, SessionId, Timestamp, WarmId, ports::Due};

use super::{
    error::StoreError,
    keys::{self, Attributes, DUE_KEY, PK, SHARDS, due_shard, ended_shard, timestamp},
    table::{Bounds, Range, Table},
};

/// Sorts after every key that begins with the same timestamp.
const AFTER_ALL: char = '~';

/// Records that are due at `now`, longest overdue first.
pub(super) async fn list(
    table: &Table,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Due>, StoreError> {
    let bounds = Bounds::Below(format!("{}{AFTER_ALL}", timestamp(now)));
    let found = first_of(table, due_shard, &bounds, limit).await?;
    Ok(found.iter().filter_map(parse).collect())
}

/// Sessions that ended before this time, oldest first.
pub(super) async fn ended(
    table: &Table,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<SessionId>, StoreError> {
    let found = first_of(table, ended_shard, &Bounds::Below(timestamp(before)), limit).await?;
    Ok(found.iter().filter_map(|item| keys::text(item, PK)?.parse().ok()).collect())
}

/// The first `limit` items of all shards, in the order of their keys.
async fn first_of(
    table: &Table,
    shard: impl Fn(u128) -> String,
    bounds: &Bounds,
    limit: u32,
) -> Result<Vec<Attributes>, StoreError> {
    let total_limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found: Vec<Attributes> = Vec::new();
    for number in 0..SHARDS {
        let range = Range::due(shard(number), bounds.clone()).paged(limit);
        let mut pages = table.pages(range);
        let mut found_in_shard = 0;
        while found_in_shard < total_limit
            && let Some(items) = pages.next().await?
        {
            found_in_shard += items.len();
            found.extend(items);
        }
    }
    found.sort_by(|one, other| keys::text(one, DUE_KEY).cmp(&keys::text(other, DUE_KEY)));
    found.truncate(total_limit);
    Ok(found)
}

/// The id's prefix tells the kind of record. Only jobs that an earlier version wrote have an entry; its key also contains
/// the session.
fn parse(item: &Attributes) -> Option<Due> {
    let (id, key) = (keys::text(item, PK)?, keys::text(item, DUE_KEY)?);
    if let Ok(session) = id.parse::<SessionId>() {
        Some(Due::Session(session))
    } else if let Ok(job) = id.parse::<JobId>() {
        let (_, session) = key.split_once('#')?;
        Some(Due::Job { job, session: session.parse().ok()? })
    } else if let Ok(delivery) = id.parse::<DeliveryId>() {
        Some(Due::Delivery(delivery))
    } else {
        id.parse::<WarmId>().ok().map(Due::Warm)
    }
}
