//! Rewrites the records of version 1 of the schema, which had commands and variables inside.

use domain::{job::Job, ports::BackendError, session::Session};
use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;

use super::{jobs, record, sessions};

/// How many records are read at once.
const PAGE: usize = 500;

/// Moves large commands and variables beside their records, and drops those of what is over.
pub(crate) fn move_large_values(db: &Connection) -> Result<(), BackendError> {
    each::<Job>(db, "jobs", |job| {
        let row = jobs::Row::new(job)?;
        row.rewrite(db).map_err(|error| BackendError::new("moving a command", error))
    })?;
    each::<Session>(db, "sessions", |session| {
        let row = sessions::Row::new(session)?;
        row.rewrite(db).map_err(|error| BackendError::new("moving variables", error))
    })
}

fn each<T: DeserializeOwned>(
    db: &Connection,
    table: &'static str,
    rewrite: impl Fn(&T) -> Result<(), BackendError>,
) -> Result<(), BackendError> {
    let failed = |error| BackendError::new("reading old records", error);
    let mut after = 0_i64;
    loop {
        let page: Vec<(i64, T)> = db
            .prepare_cached(&format!(
                "-- migrate::each
                SELECT record, rowid FROM {table} WHERE rowid > ?1 ORDER BY rowid LIMIT ?2"
            ))
            .and_then(|mut read| {
                read.query_map(params![after, PAGE], |row| Ok((row.get(1)?, record::plain(row)?)))?
                    .collect()
            })
            .map_err(failed)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = *last;
        page.iter().try_for_each(|(_, value)| rewrite(value))?;
    }
}
