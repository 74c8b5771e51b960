//! The table `deliveries`.

use domain::{
    DeliveryId, SessionId, UserId,
    ports::{BackendError, Page, Version, Versioned},
    webhook::Delivery,
};
use rusqlite::{Connection, params};

use super::record::{self, AFTER_ALL};

/// A delivery, encoded.
pub(super) struct Row {
    id: [u8; 16],
    user: UserId,
    session: [u8; 16],
    due_at: Option<i64>,
    record: String,
}

impl Row {
    pub(super) fn new(delivery: &Delivery) -> Result<Self, BackendError> {
        let payload = delivery.payload();
        Ok(Self {
            id: payload.id.ulid().to_bytes(),
            user: payload.user.clone(),
            session: payload.session.ulid().to_bytes(),
            due_at: delivery.due_at().map(|at| at.millis()),
            record: record::encode(delivery)?,
        })
    }
}

impl record::Row for Row {
    fn insert(&self, db: &Connection) -> rusqlite::Result<usize> {
        db.prepare_cached(
            "-- deliveries::insert
            INSERT INTO deliveries (id, user, session, due_at, version, record)
            VALUES (?1, ?2, ?3, ?4, 1, ?5)
            ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            self.id,
            self.user.as_str(),
            self.session,
            self.due_at,
            self.record
        ])
    }

    fn update(&self, db: &Connection, Version(read): Version) -> rusqlite::Result<usize> {
        db.prepare_cached(
            "-- deliveries::update
            UPDATE deliveries SET due_at = ?3, version = version + 1, record = ?4
            WHERE id = ?1 AND version = ?2",
        )?
        .execute(params![self.id, read, self.due_at, self.record])
    }
}

pub(super) fn find(
    db: &Connection,
    id: DeliveryId,
) -> rusqlite::Result<Option<Versioned<Delivery>>> {
    record::find(
        db,
        "-- deliveries::find
        SELECT record, version FROM deliveries WHERE id = ?1",
        id.ulid(),
    )
}

pub(super) fn page(
    db: &Connection,
    user: &UserId,
    session: Option<SessionId>,
    cursor: Option<&str>,
    limit: u32,
) -> rusqlite::Result<Page<Delivery>> {
    let Some(before) = record::page_start(cursor, &AFTER_ALL, DeliveryId::ulid) else {
        return Ok(record::empty_page());
    };
    let more = limit.saturating_add(1);
    let items: rusqlite::Result<Vec<Delivery>> = match session {
        None => db
            .prepare_cached(
                "-- deliveries::page
                SELECT record FROM deliveries WHERE user = ?1 AND id < ?2
                ORDER BY id DESC LIMIT ?3",
            )?
            .query_map(params![user.as_str(), before, more], record::plain)?
            .collect(),
        Some(session) => db
            .prepare_cached(
                "-- deliveries::page_of_session
                SELECT record FROM deliveries WHERE session = ?4 AND id < ?2 AND user = ?1
                ORDER BY id DESC LIMIT ?3",
            )?
            .query_map(
                params![user.as_str(), before, more, session.ulid().to_bytes()],
                record::plain,
            )?
            .collect(),
    };
    Ok(record::page(items?, limit, |delivery| delivery.payload().id.to_string()))
}
