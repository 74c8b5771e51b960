//! A session's timeline.

use domain::{SessionId, timeline::Entry};

use super::{
    error::StoreError,
    keys::Key,
    record,
    table::{Bounds, Range, Table},
};

pub(super) async fn after(
    table: &Table,
    session: SessionId,
    after: u32,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let Some(first) = after.checked_add(1) else { return Ok(Vec::new()) };
    let (first, last) = (Key::entry(session, first), Key::entry(session, u32::MAX));
    let range = Range::of(session.to_string(), Bounds::Between(first.sk, last.sk)).paged(limit);
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut pages = table.pages(range);
    let mut entries: Vec<Entry> = Vec::new();
    while entries.len() < wanted
        && let Some(items) = pages.next().await?
    {
        for item in items {
            entries.push(record::decode_plain(&item)?);
        }
    }
    entries.truncate(wanted);
    Ok(entries)
}
