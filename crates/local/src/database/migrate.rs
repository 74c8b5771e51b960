//! Brings the file to the present version of the schema.

use domain::ports::BackendError;
use rusqlite::Connection;

use super::{OpenError, SCHEMA};
use crate::store;

/// Creates the tables of a new file, or changes those of an older version.
///
/// # Errors
/// `Newer` if a newer version wrote the file.
pub(super) fn migrate(db: &Connection) -> Result<(), OpenError> {
    let failed = |error| BackendError::new("changing the schema", error);
    db.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let found: i64 =
        db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > SCHEMA {
        return Err(OpenError::Newer { found });
    }
    if found < 1 {
        db.execute_batch(include_str!("schema-1.sql")).map_err(failed)?;
    }
    if found < 2 {
        db.execute_batch(include_str!("schema-2.sql")).map_err(failed)?;
        store::move_large_values(db)?;
    }
    if found < 3 {
        db.execute_batch(include_str!("schema-3.sql")).map_err(failed)?;
    }
    if found < 4 {
        db.execute_batch(include_str!("schema-4.sql")).map_err(failed)?;
    }
    if found < SCHEMA {
        db.pragma_update(None, "user_version", SCHEMA).map_err(failed)?;
    }
    db.execute_batch("COMMIT").map_err(failed)?;
    Ok(())
}
