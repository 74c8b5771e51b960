//! Reads of the table: by key, by partition, by index.

use std::{collections::HashMap, str::FromStr};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, KeysAndAttributes},
};

use super::{
    fault::Fault,
    keys::{Attributes, DUE, DUE_KEY, Key, LIST, LIST_KEY, PK, SK},
    pace::Pace,
};

/// How many keys one call may ask for.
const KEYS_AT_ONCE: usize = 100;

/// The table that all records are in.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) client: Client,
    pub(super) name: String,
}

/// A part of a partition, of the table or of an index.
#[derive(Debug, Clone)]
pub(super) struct Range {
    index: Option<(&'static str, &'static str)>,
    partition: String,
    bounds: Bounds,
    newest_first: bool,
    limit: Option<i32>,
    keys_only: bool,
}

/// Which sort keys.
#[derive(Debug, Clone)]
pub(super) enum Bounds {
    All,
    Begins(String),
    Above(String),
    Below(String),
    Between(String, String),
}

impl Bounds {
    /// What comes behind a cursor, which is the id that a page ended with. None if it is no such id.
    pub(super) fn behind<I: FromStr + ToString>(
        cursor: Option<&str>,
        last: fn(String) -> Self,
    ) -> Option<Self> {
        let Some(cursor) = cursor else { return Some(Self::All) };
        cursor.parse::<I>().ok().map(|id| last(id.to_string()))
    }
}

impl Range {
    /// Items of the table itself, as the last commit left them.
    pub(super) fn of(partition: String, bounds: Bounds) -> Self {
        let (index, newest_first, limit, keys_only) = (None, false, None, false);
        Self { index, partition, bounds, newest_first, limit, keys_only }
    }

    /// Keys of the index of lists. Commits of the last moments may be missing.
    pub(super) fn listed(partition: String, bounds: Bounds) -> Self {
        Self { index: Some((LIST, LIST_KEY)), ..Self::of(partition, bounds) }
    }

    /// Keys of the index of what is due. Commits of the last moments may be missing.
    pub(super) fn due(partition: String, bounds: Bounds) -> Self {
        Self { index: Some((DUE, DUE_KEY)), ..Self::of(partition, bounds) }
    }

    /// From the highest sort key on.
    pub(super) const fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    /// How many items a page has at most.
    pub(super) fn paged(mut self, items: u32) -> Self {
        self.limit = Some(i32::try_from(items.clamp(1, 1000)).unwrap_or(1000));
        self
    }

    /// Nothing but the keys of the table.
    pub(super) const fn keys_only(mut self) -> Self {
        self.keys_only = true;
        self
    }
}

/// The pages of a range, one call each.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    table: &'a Table,
    range: Range,
    from: Option<Attributes>,
    over: bool,
}

impl Table {
    /// An item as the last commit left it.
    pub(super) async fn get(&self, key: &Key) -> Result<Option<Attributes>, Fault> {
        let call = self.client.get_item().table_name(&self.name).consistent_read(true);
        let got = call.set_key(Some(key.attributes())).send().await;
        Ok(got.map_err(|error| Fault::of(&error))?.item)
    }

    /// The pages of a range.
    pub(super) const fn pages(&self, range: Range) -> Pages<'_> {
        Pages { table: self, range, from: None, over: false }
    }

    /// All items of a range.
    pub(super) async fn all(&self, range: Range) -> Result<Vec<Attributes>, Fault> {
        let mut pages = self.pages(range);
        let mut all = Vec::new();
        while let Some(page) = pages.next().await? {
            all.extend(page);
        }
        Ok(all)
    }

    /// Those of these items that exist, as the last commit left them.
    pub(super) async fn get_all(&self, keys: &[Key]) -> Result<HashMap<Key, Attributes>, Fault> {
        let mut found = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let mut left = keys.iter().map(Key::attributes).collect::<Vec<_>>();
            let mut pace = Pace::new();
            loop {
                let (items, rest) = self.get_some(left).await?;
                found.extend(items.into_iter().filter_map(|item| Some((Key::of(&item)?, item))));
                if rest.is_empty() {
                    break;
                }
                if !pace.next().await {
                    let last = "unprocessed keys".to_owned();
                    return Err(Fault::GivenUp { tries: pace.tries(), last });
                }
                left = rest;
            }
        }
        Ok(found)
    }

    /// What one call gives of these keys, and the keys that it left for another.
    async fn get_some(
        &self,
        keys: Vec<Attributes>,
    ) -> Result<(Vec<Attributes>, Vec<Attributes>), Fault> {
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
        let wanted = wanted.build().expect("the keys are set");
        let call = self.client.batch_get_item().request_items(&self.name, wanted);
        let mut got = call.send().await.map_err(|error| Fault::of(&error))?;
        let items = got.responses.as_mut().and_then(|all| all.remove(&self.name));
        let left = got.unprocessed_keys.as_mut().and_then(|all| all.remove(&self.name));
        Ok((items.unwrap_or_default(), left.map(|left| left.keys).unwrap_or_default()))
    }
}

impl Pages<'_> {
    /// The next page; none after the last. A page may be empty.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Attributes>>, Fault> {
        if self.over {
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
        if range.keys_only || !matches!(range.bounds, Bounds::All) {
            call = call.expression_attribute_names("#s", sort);
        }
        if range.keys_only {
            call = call.projection_expression("#p, #s");
        }
        let call = call.set_index_name(index.map(str::to_owned)).set_limit(range.limit);
        let call = call.consistent_read(index.is_none()).scan_index_forward(!range.newest_first);
        let call = call.set_exclusive_start_key(self.from.take());
        let page = call.send().await.map_err(|error| Fault::of(&error))?;
        self.from = page.last_evaluated_key;
        self.over = self.from.is_none();
        Ok(Some(page.items.unwrap_or_default()))
    }

    /// Lets the coming pages have this many items.
    pub(super) const fn of_size(&mut self, items: i32) {
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
