//! Reads of the table: by key, by partition, by index.

use std::{collections::HashMap, str::FromStr};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, KeysAndAttributes},
};

use super::{
    backoff::Backoff,
    error::StoreError,
    keys::{Attributes, DUE, DUE_KEY, Key, LIST, LIST_KEY, PK, SK, TTL},
};

/// Keys that BatchGetItem accepts in one call.
const MAX_KEYS_PER_CALL: usize = 100;

/// The table that holds all records.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// A range of sort keys in one partition of the table or of an index.
#[derive(Debug, Clone)]
pub(super) struct Range {
    index: Option<(&'static str, &'static str)>,
    partition: String,
    bounds: Bounds,
    newest_first: bool,
    limit: Option<i32>,
    projection: Option<&'static str>,
}

/// The sort keys of a range.
#[derive(Debug, Clone)]
pub(super) enum Bounds {
    All,
    Begins(String),
    Above(String),
    Below(String),
    Between(String, String),
}

impl Bounds {
    /// The bounds after a cursor, which is the last id of the previous page. None if the cursor is not
    /// an id of this type.
    pub(super) fn after_cursor<I: FromStr + ToString>(
        cursor: Option<&str>,
        last: fn(String) -> Self,
    ) -> Option<Self> {
        let Some(cursor) = cursor else { return Some(Self::All) };
        cursor.parse::<I>().ok().map(|id| last(id.to_string()))
    }
}

impl Range {
    /// Items of the table itself, read consistently.
    pub(super) fn of(partition: String, bounds: Bounds) -> Self {
        let (index, newest_first, limit, projection) = (None, false, None, None);
        Self { index, partition, bounds, newest_first, limit, projection }
    }

    /// Keys of the index `list`. The latest commits may be missing.
    pub(super) fn listed(partition: String, bounds: Bounds) -> Self {
        Self { index: Some((LIST, LIST_KEY)), ..Self::of(partition, bounds) }
    }

    /// Keys of the index `due`. The latest commits may be missing.
    pub(super) fn due(partition: String, bounds: Bounds) -> Self {
        Self { index: Some((DUE, DUE_KEY)), ..Self::of(partition, bounds) }
    }

    /// Descending by sort key.
    pub(super) const fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    /// Limits the items of a page.
    pub(super) fn paged(mut self, items: u32) -> Self {
        self.limit = Some(i32::try_from(items.clamp(1, 1000)).unwrap_or(1000));
        self
    }

    /// Reads only the keys.
    pub(super) const fn keys_only(mut self) -> Self {
        self.projection = Some("#p, #s");
        self
    }

    /// Reads only the keys and the time of expiry.
    pub(super) const fn keys_and_expiry(mut self) -> Self {
        self.projection = Some("#p, #s, #t");
        self
    }
}

/// The pages of a range, one call each.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    table: &'a Table,
    range: Range,
    from: Option<Attributes>,
    is_exhausted: bool,
}

impl Table {
    /// An item, read consistently.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Attributes>, StoreError> {
        let call = self.client.get_item().table_name(&self.name).consistent_read(true);
        let got = call.set_key(Some(key.attributes())).send().await;
        Ok(got.map_err(|error| StoreError::from_sdk(&error))?.item)
    }

    /// The pages of a range.
    pub(super) const fn pages(&self, range: Range) -> Pages<'_> {
        Pages { table: self, range, from: None, is_exhausted: false }
    }

    /// All items of a range.
    pub(super) async fn all(&self, range: Range) -> Result<Vec<Attributes>, StoreError> {
        let mut pages = self.pages(range);
        let mut all = Vec::new();
        while let Some(page) = pages.next().await? {
            all.extend(page);
        }
        Ok(all)
    }

    /// All items of a key's partition whose sort keys begin with the key's, read consistently.
    pub(crate) async fn items_below(&self, key: &Key) -> Result<Vec<Attributes>, StoreError> {
        self.all(Range::of(key.pk.clone(), Bounds::Begins(key.sk.clone()))).await
    }

    /// The items that exist under these keys, read consistently.
    pub(super) async fn get_all(
        &self,
        keys: &[Key],
    ) -> Result<HashMap<Key, Attributes>, StoreError> {
        let mut found = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(MAX_KEYS_PER_CALL) {
            let mut left = keys.iter().map(Key::attributes).collect::<Vec<_>>();
            let mut backoff = Backoff::new();
            loop {
                let (items, rest) = self.get_some(left).await?;
                found.extend(items.into_iter().filter_map(|item| Some((Key::of(&item)?, item))));
                if rest.is_empty() {
                    break;
                }
                backoff.wait("unprocessed keys").await?;
                left = rest;
            }
        }
        Ok(found)
    }

    /// The items that one call returned, and the keys that DynamoDB left unprocessed.
    async fn get_some(
        &self,
        keys: Vec<Attributes>,
    ) -> Result<(Vec<Attributes>, Vec<Attributes>), StoreError> {
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
        let wanted = wanted.build().expect("the keys are set");
        let call = self.client.batch_get_item().request_items(&self.name, wanted);
        let mut got = call.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        let items = got.responses.as_mut().and_then(|all| all.remove(&self.name));
        let left = got.unprocessed_keys.as_mut().and_then(|all| all.remove(&self.name));
        Ok((items.unwrap_or_default(), left.map(|left| left.keys).unwrap_or_default()))
    }
}

impl Pages<'_> {
    /// The next page, which may be empty; none after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Attributes>>, StoreError> {
        if self.is_exhausted {
            return Ok(None);
        }
        let range = &self.range;
        let (index, partition, sort) = match range.index {
            Some((index, sort)) => (Some(index), index, sort),
            None => (None, PK, SK),
        };
        let (condition, values) = condition(&range.bounds, &range.partition);
        let call = self.table.client.query().table_name(&self.table.name);
        let call = call.key_condition_expression(condition).set_expression_attribute_values(values);
        let mut call = call.expression_attribute_names("#p", partition);
        // DynamoDB rejects a name that no expression uses.
        let projects = |name| range.projection.is_some_and(|names| names.contains(name));
        if projects("#s") || !matches!(range.bounds, Bounds::All) {
            call = call.expression_attribute_names("#s", sort);
        }
        if projects("#t") {
            call = call.expression_attribute_names("#t", TTL);
        }
        let call = call.set_projection_expression(range.projection.map(str::to_owned));
        let call = call.set_index_name(index.map(str::to_owned)).set_limit(range.limit);
        let call = call.consistent_read(index.is_none()).scan_index_forward(!range.newest_first);
        let call = call.set_exclusive_start_key(self.from.take());
        let page = call.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        self.from = page.last_evaluated_key;
        self.is_exhausted = self.from.is_none();
        Ok(Some(page.items.unwrap_or_default()))
    }

    /// The next page that has items; empty after the last one.
    pub(super) async fn next_non_empty(&mut self) -> Result<Vec<Attributes>, StoreError> {
        while let Some(page) = self.next().await? {
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }

    /// Limits the items of the following pages.
    pub(super) const fn set_size(&mut self, items: i32) {
        self.range.limit = Some(items);
    }
}

type Values = Option<HashMap<String, AttributeValue>>;

fn condition(bounds: &Bounds, partition: &str) -> (String, Values) {
    let (more, bounds): (&str, Vec<&String>) = match bounds {
        Bounds::All => ("", vec![]),
        Bounds::Begins(with) => (" AND begins_with(#s, :0)", vec![with]),
        Bounds::Above(low) => (" AND #s > :0", vec![low]),
        Bounds::Below(high) => (" AND #s < :0", vec![high]),
        Bounds::Between(low, high) => (" AND #s BETWEEN :0 AND :1", vec![low, high]),
    };
    let text = |value: &String| AttributeValue::S(value.clone());
    let values = bounds.into_iter().enumerate().map(|(at, bound)| (format!(":{at}"), text(bound)));
    let values = values.chain([(":p".to_owned(), AttributeValue::S(partition.to_owned()))]);
    (format!("#p = :p{more}"), Some(values.collect()))
}
