//! Encodes records into rows, and decodes them.

use std::str::FromStr;

use domain::ports::{BackendError, Expect, Page, Version, Versioned};
use rusqlite::{
    Connection, OptionalExtension,
    types::{FromSql, FromSqlError, FromSqlResult, ValueRef},
};
use serde::{Serialize, de::DeserializeOwned};
use ulid::Ulid;

/// Encodes a record as JSON. This is done before the row is passed to the writer thread, to keep that
/// thread free.
pub(super) fn encode(record: &impl Serialize) -> Result<String, BackendError> {
    serde_json::to_string(record).map_err(|error| BackendError::new("encoding a record", error))
}

/// An encoded record with a version. `insert` and `update` return the number of rows written.
pub(super) trait Row {
    fn insert(&self, db: &Connection) -> rusqlite::Result<usize>;
    fn update(&self, db: &Connection, read: Version) -> rusqlite::Result<usize>;

    /// Writes the row if the stored one is as expected; else returns false.
    fn put(&self, db: &Connection, expect: Expect) -> rusqlite::Result<bool> {
        let rows = match expect {
            Expect::New => self.insert(db),
            Expect::At(version) => self.update(db, version),
        };
        rows.map(|rows| rows == 1)
    }
}

/// A column that holds JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        serde_json::from_str(text)
            .map(Self)
            .map_err(|error| FromSqlError::Other(Box::new(DecodeError::from(&error))))
    }
}

/// A stored record can't be decoded. The message of the decoder is left out, because it may quote the
/// record, which holds secrets.
#[derive(Debug, thiserror::Error)]
#[error("failed to decode a stored record at line {line}, column {column}")]
struct DecodeError {
    line: usize,
    column: usize,
}

impl From<&serde_json::Error> for DecodeError {
    fn from(error: &serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column() }
    }
}

/// Reads a row of `record`.
pub(super) fn plain<T: DeserializeOwned>(row: &rusqlite::Row<'_>) -> rusqlite::Result<T> {
    row.get(0).map(|Json(value)| value)
}

/// Reads a row of `record, version`.
pub(super) fn versioned<T: DeserializeOwned>(
    row: &rusqlite::Row<'_>,
) -> rusqlite::Result<Versioned<T>> {
    Ok(Versioned { value: plain(row)?, version: Version(row.get(1)?) })
}

/// Reads the row of `record, version` that has this id.
pub(super) fn find<T: DeserializeOwned>(
    db: &Connection,
    sql: &str,
    id: Ulid,
) -> rusqlite::Result<Option<Versioned<T>>> {
    db.prepare_cached(sql)?.query_one([id.to_bytes()], versioned).optional()
}

/// Reads a column that holds an id.
pub(super) fn ulid(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Ulid> {
    row.get(column).map(Ulid::from_bytes)
}

/// Sorts before all ids.
pub(super) const BEFORE_ALL: [u8; 0] = [];
/// Sorts after all ids.
pub(super) const AFTER_ALL: [u8; 17] = [u8::MAX; 17];

/// Where a page begins: after the cursor, or without one at `start`. None if the cursor is not an id.
pub(super) fn page_start<Id: FromStr>(
    cursor: Option<&str>,
    start: &[u8],
    ulid: impl FnOnce(Id) -> Ulid,
) -> Option<Vec<u8>> {
    match cursor {
        None => Some(start.to_vec()),
        Some(last) => last.parse().ok().map(|id| ulid(id).to_bytes().to_vec()),
    }
}

/// Makes a page of up to `limit + 1` records; the last one only shows that there is a next page.
pub(super) fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}

/// The empty page, for a cursor that is not an id.
pub(super) const fn empty_page<T>() -> Page<T> {
    Page { items: Vec::new(), next: None }
}
