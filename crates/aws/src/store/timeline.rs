//! A session's timeline. The entries of one transaction are one item, because each item is billed: an entry, or a list of
//! them with the number of the last one as its key.

use domain::{SessionId, timeline::Entry};
use serde::Deserialize;

use super::{
    error::StoreError,
    item::Item,
    keys::{Key, RECORD},
    record,
    table::{Bounds, Range, Table},
};

/// What an item holds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entries {
    One(Box<Entry>),
    Several(Vec<Entry>),
}

/// The item of entries that are written together, which must not exist yet.
pub(super) fn item(entries: &[Entry]) -> Result<Item, StoreError> {
    let last = entries.last().ok_or(StoreError::Encode)?;
    let record = match entries {
        [entry] => record::plain(entry)?,
        several => record::plain(&several)?,
    };
    let key = Key::entry(last.session, last.seq);
    Ok(Item::put(key, [(RECORD.to_owned(), record)].into()).when_none(RECORD))
}

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
            let found = match record::decode_plain(&item)? {
                Entries::One(entry) => vec![*entry],
                Entries::Several(entries) => entries,
            };
            // A list may begin with entries that the caller has.
            entries.extend(found.into_iter().filter(|entry| entry.seq > after));
        }
    }
    entries.truncate(wanted);
    Ok(entries)
}
