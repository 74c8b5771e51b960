//! Reads of whole records: an item and, if it has one, its part.

use std::{collections::HashMap, fmt::Display};

use domain::ports::{Page, Versioned};

use super::{
    error::StoreError,
    keys::{Attributes, Key, RECORD},
    record::{self, Record},
    table::{Bounds, Range, Table},
};

impl Table {
    /// A record by its id. One call reads the record and its part.
    pub(super) async fn record<T: Record>(
        &self,
        id: impl Display,
    ) -> Result<Option<Versioned<T>>, StoreError> {
        let whole = Range::of(id.to_string(), Bounds::Begins(RECORD.to_owned()));
        let items = self.all(whole).await?;
        let item = items.iter().find(|item| Key::of(item) == Some(Key::record(&id)));
        let part = items.iter().find(|item| Key::of(item) == Some(Key::part(&id)));
        item.map_or(Ok(None), |item| record::decode(item, part))
    }

    /// The records that exist under these ids, in the given order.
    pub(super) async fn records<T: Record>(
        &self,
        ids: &[impl Display],
    ) -> Result<Vec<Versioned<T>>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(Key::record).collect();
        let items = self.get_all(&keys).await?;
        let parts = self.parts(ids, &items).await?;
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(item) = items.get(&Key::record(id)) else { continue };
            records.extend(record::decode(item, parts.get(&Key::part(id)))?);
        }
        Ok(records)
    }

    async fn parts(
        &self,
        ids: &[impl Display],
        items: &HashMap<Key, Attributes>,
    ) -> Result<HashMap<Key, Attributes>, StoreError> {
        let split = |id: &&_| items.get(&Key::record(id)).is_some_and(record::has_part);
        let keys: Vec<Key> = ids.iter().filter(split).map(Key::part).collect();
        self.get_all(&keys).await
    }
}

/// Collects the records of a page, and one more, which tells that another page follows.
#[derive(Debug)]
pub(super) struct PageBuilder<T> {
    found: Vec<Versioned<T>>,
    wanted: usize,
}

impl<T: Record> PageBuilder<T> {
    /// An empty page of up to `limit` records.
    pub(super) fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { found: Vec::new(), wanted: limit.saturating_add(1) }
    }

    /// Whether more records are needed.
    pub(super) const fn needs_more(&self) -> bool {
        self.found.len() < self.wanted
    }

    /// Adds the records that exist under these ids and match. Reads them in batches and stops when the
    /// page is full.
    pub(super) async fn add(
        &mut self,
        table: &Table,
        ids: &[&str],
        matches: impl Fn(&T) -> bool,
    ) -> Result<(), StoreError> {
        for ids in ids.chunks(self.wanted.min(100)) {
            if !self.needs_more() {
                break;
            }
            let records = table.records::<T>(ids).await?.into_iter();
            self.found.extend(records.filter(|read| matches(&read.value)));
        }
        Ok(())
    }

    /// The page; `cursor` gives the id of its last record.
    pub(super) fn build(self, cursor: impl Fn(&T) -> String) -> Page<T> {
        let limit = self.wanted - 1;
        let more = self.found.len() > limit;
        let items: Vec<T> = self.found.into_iter().take(limit).map(|read| read.value).collect();
        let next = if more { items.last().map(cursor) } else { None };
        Page { items, next }
    }
}

/// The answer to an invalid cursor.
pub(super) const fn empty_page<T>() -> Page<T> {
    Page { items: Vec::new(), next: None }
}
