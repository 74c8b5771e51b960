//! What is due. The index trails the table by some milliseconds, which is of no consequence: whoever
//! looks at what is due reads the record, and what is missing now is there in the next round.

use domain::{DeliveryId, JobId, SessionId, Timestamp, WarmId, ports::Due};

use super::{
    fault::Fault,
    keys::{self, Attributes, DUE_KEY, PK, SHARDS, due_shard, ended_shard, instant},
    table::{Bounds, Range, Table},
};

/// Sorts after everything that begins with the same point in time.
const LAST: char = '~';

/// The longest overdue first.
pub(super) async fn list(table: &Table, now: Timestamp, limit: u32) -> Result<Vec<Due>, Fault> {
    let bounds = Bounds::Below(format!("{}{LAST}", instant(now)));
    let found = first_of(table, due_shard, &bounds, limit).await?;
    Ok(found.iter().filter_map(one).collect())
}

/// Sessions that ended before this time, oldest first.
pub(super) async fn ended(
    table: &Table,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<SessionId>, Fault> {
    let found = first_of(table, ended_shard, &Bounds::Below(instant(before)), limit).await?;
    Ok(found.iter().filter_map(|item| keys::text(item, PK)?.parse().ok()).collect())
}

/// The first items of all shards together.
async fn first_of(
    table: &Table,
    shard: impl Fn(u128) -> String,
    bounds: &Bounds,
    limit: u32,
) -> Result<Vec<Attributes>, Fault> {
    let limit_of_all = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found: Vec<Attributes> = Vec::new();
    for number in 0..SHARDS {
        let range = Range::due(shard(number), bounds.clone()).paged(limit);
        let mut pages = table.pages(range);
        let mut of_shard = 0;
        while of_shard < limit_of_all
            && let Some(items) = pages.next().await?
        {
            of_shard += items.len();
            found.extend(items);
        }
    }
    found.sort_by(|one, other| keys::text(one, DUE_KEY).cmp(&keys::text(other, DUE_KEY)));
    found.truncate(limit_of_all);
    Ok(found)
}

/// The id says what it is; a job's key also names its session.
fn one(item: &Attributes) -> Option<Due> {
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
