//! Whom a message works for.

use domain::{DeliveryId, JobId, SessionId, message::Message, session::Session};
use rusqlite::{Connection, OptionalExtension};
use url::Url;

use super::record::Json;
use crate::queue::Owner;

/// The owner of the record that a message names. Nobody, if the record does not exist or if the message
/// is about no user's record.
pub(crate) fn owner(db: &Connection, message: &Message) -> rusqlite::Result<Owner> {
    let found = match message {
        Message::StartSession { session }
        | Message::NotifySession { session }
        | Message::RunJob { session }
        | Message::RunClaimed { session, .. }
        | Message::SetDeadline { session } => of_session(db, *session),
        Message::CancelJob { job }
        | Message::SignalJob { job, .. }
        | Message::OpenTerminal { job } => of_job(db, *job),
        Message::TaskEvent { facts } | Message::ProbeTask { facts } => {
            match facts.started_by.parse() {
                Ok(session) => of_session(db, session),
                Err(_) => Ok(None),
            }
        }
        Message::DeliverWebhook { delivery } => of_delivery(db, *delivery),
        Message::FillPool => Ok(None),
    };
    Ok(found?.unwrap_or_default())
}

fn of_session(db: &Connection, id: SessionId) -> rusqlite::Result<Option<Owner>> {
    db.prepare_cached(
        "-- owners::of_session
        SELECT user FROM sessions WHERE id = ?1",
    )?
    .query_one([id.ulid().to_bytes()], user)
    .optional()
}

fn of_job(db: &Connection, id: JobId) -> rusqlite::Result<Option<Owner>> {
    db.prepare_cached(
        "-- owners::of_job
        SELECT user FROM jobs WHERE id = ?1",
    )?
    .query_one([id.ulid().to_bytes()], user)
    .optional()
}

/// The user of a delivery, and the host of its endpoint.
fn of_delivery(db: &Connection, id: DeliveryId) -> rusqlite::Result<Option<Owner>> {
    db.prepare_cached(
        "-- owners::of_delivery
        SELECT d.user, s.record FROM deliveries AS d LEFT JOIN sessions AS s ON s.id = d.session
        WHERE d.id = ?1",
    )?
    .query_one([id.ulid().to_bytes()], |row| {
        let session: Option<Json<Session>> = row.get(1)?;
        let host = session.and_then(|Json(session)| {
            let url = Url::parse(session.webhook()?.url.expose()).ok()?;
            url.host_str().map(Into::into)
        });
        Ok(Owner { host, ..user(row)? })
    })
    .optional()
}

fn user(row: &rusqlite::Row<'_>) -> rusqlite::Result<Owner> {
    Ok(Owner { user: row.get(0)?, host: None })
}
