//! Reads of whole records: an item and, if it has one, the part beside it.

use std::{collections::HashMap, fmt::Display};

use domain::ports::{Page, Versioned};

use super::{
    fault::Fault,
    keys::{Attributes, Key, RECORD},
    record::{self, Record},
    table::{Bounds, Range, Table},
};

impl Table {
    /// A record by its id: one call, whether or not it has a part.
    pub(super) async fn record<T: Record>(
        &self,
        id: impl Display,
    ) -> Result<Option<Versioned<T>>, Fault> {
        let whole = Range::of(id.to_string(), Bounds::Begins(RECORD.to_owned()));
        let items = self.all(whole).await?;
        let item = items.iter().find(|item| Key::of(item) == Some(Key::record(&id)));
        let part = items.iter().find(|item| Key::of(item) == Some(Key::part(&id)));
        item.map_or(Ok(None), |item| record::decode(item, part))
    }

    /// Those of these records that exist, in this order.
    pub(super) async fn records<T: Record>(
        &self,
        ids: &[impl Display],
    ) -> Result<Vec<Versioned<T>>, Fault> {
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
    ) -> Result<HashMap<Key, Attributes>, Fault> {
        let split = |id: &&_| items.get(&Key::record(id)).is_some_and(record::has_part);
        let keys: Vec<Key> = ids.iter().filter(split).map(Key::part).collect();
        self.get_all(&keys).await
    }
}

/// What a page is made of, until there is one record more than it takes.
#[derive(Debug)]
pub(super) struct Gathered<T> {
    found: Vec<Versioned<T>>,
    wanted: usize,
}

impl<T: Record> Gathered<T> {
    /// Nothing of a page with this many records.
    pub(super) fn of(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { found: Vec::new(), wanted: limit.saturating_add(1) }
    }

    /// Whether more is wanted.
    pub(super) const fn is_short(&self) -> bool {
        self.found.len() < self.wanted
    }

    /// Adds those of these records that exist and fit. In portions: maybe few of them are wanted.
    pub(super) async fn add(
        &mut self,
        table: &Table,
        ids: &[&str],
        fits: impl Fn(&T) -> bool,
    ) -> Result<(), Fault> {
        for ids in ids.chunks(self.wanted.min(100)) {
            if !self.is_short() {
                break;
            }
            let records = table.records::<T>(ids).await?.into_iter();
            self.found.extend(records.filter(|read| fits(&read.value)));
        }
        Ok(())
    }

    /// The page; `cursor` names its last record.
    pub(super) fn page(self, cursor: impl Fn(&T) -> String) -> Page<T> {
        let limit = self.wanted - 1;
        let more = self.found.len() > limit;
        let items: Vec<T> = self.found.into_iter().take(limit).map(|read| read.value).collect();
        let next = if more { items.last().map(cursor) } else { None };
        Page { items, next }
    }
}

/// What an unreadable cursor gives.
pub(super) const fn no_page<T>() -> Page<T> {
    Page { items: Vec::new(), next: None }
}
