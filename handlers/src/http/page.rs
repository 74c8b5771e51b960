//! Lists are read page by page.

use domain::ports::Page;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    cursor::Cursor,
    extract::Params,
    rule::{Rule, digits, string},
};

/// Seven bytes or more in base64url without padding, whose unused bits are 0.
const CURSOR_PATTERN: &str = "^(?:[A-Za-z0-9_-]{4})+\
    (?:[A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?$";
/// The most entries of a page.
const MAX_LIMIT: u32 = 100;
/// The entries of a page where the request says nothing.
const DEFAULT_LIMIT: u32 = 20;

/// Which page of a list is wanted.
#[derive(Debug)]
pub(super) struct PageQuery {
    pub(super) limit: u32,
    /// The store's cursor; none for the first page.
    pub(super) from: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(super) struct List<T> {
    data: Vec<T>,
    /// The `cursor` of the next page; null on the last one.
    next_cursor: Option<String>,
}

impl PageQuery {
    /// Reads `limit` and `cursor`.
    pub(super) fn read(params: &mut Params, cursor: &Cursor) -> Self {
        let limit = limit(params);
        let rule = Rule::new(
            |value: Value| cursor.read(&string(value)?),
            || json!({"type": "string", "minLength": 10, "pattern": CURSOR_PATTERN}),
        );
        let from = params.optional("cursor", rule.describe("The nextCursor of the previous page."));
        Self { limit, from }
    }
}

impl<T> List<T> {
    /// A page as the store gave it, each entry shown by `view`.
    pub(super) fn of<'a, V>(page: &'a Page<V>, cursor: &Cursor, view: impl Fn(&'a V) -> T) -> Self {
        let next_cursor = page.next.as_deref().map(|next| cursor.write(next));
        Self { data: page.items.iter().map(view).collect(), next_cursor }
    }
}

/// Reads `limit`, the most entries of a page.
pub(super) fn limit(params: &mut Params) -> u32 {
    params.with_default("limit", digits(1..=MAX_LIMIT), DEFAULT_LIMIT)
}
