//! The table `publishers`: up to which event each destination has them.

use domain::ports::BackendError;
use rusqlite::{Connection, params};

use super::event::PublishedEvent;
use crate::{database::Database, store::all_events};

/// Adds a destination. A new one gets what happens from now on.
pub(super) async fn create(db: &Database, name: &'static str) -> Result<(), BackendError> {
    let create = move |db: &Connection| {
        db.execute(
            "-- position::create
            INSERT INTO publishers (name, position)
            SELECT ?1, ifnull((SELECT max(id) FROM user_events), 0) WHERE true
            ON CONFLICT DO NOTHING",
            [name],
        )
        .map(drop)
        .map_err(|error| BackendError::new("adding a destination of events", error))
    };
    db.write(create, || ()).await
}

/// The position of a destination, and the first `limit` events after it.
pub(super) async fn after(
    db: &Database,
    name: &'static str,
    limit: u32,
) -> Result<(i64, Vec<PublishedEvent>), BackendError> {
    let read = move |db: &Connection| {
        let position = db
            .prepare_cached(
                "-- position::find
                SELECT position FROM publishers WHERE name = ?1",
            )?
            .query_one([name], |row| row.get(0))?;
        let events = all_events(db, position, limit)?;
        let events = events.into_iter().map(|(number, event)| PublishedEvent { number, event });
        Ok((position, events.collect()))
    };
    db.read_apart("reading events to publish", read).await
}

pub(super) async fn advance(
    db: &Database,
    name: &'static str,
    position: i64,
) -> Result<(), BackendError> {
    let advance = move |db: &Connection| {
        db.prepare_cached(
            "-- position::advance
            UPDATE publishers SET position = ?2 WHERE name = ?1",
        )
        .and_then(|mut statement| statement.execute(params![name, position]))
        .map(drop)
        .map_err(|error| BackendError::new("moving the position of a destination", error))
    };
    db.write(advance, || ()).await
}
