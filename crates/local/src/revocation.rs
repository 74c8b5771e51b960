//! Stops the sessions of a user who is to have no access any more.

use std::{sync::Arc, time::Duration};

use domain::{
    UserId,
    ports::{BackendError, Clock, CommitError, Expect, Store, Write},
    session::{Event, Reason, Session},
    timeline::{Actor, Stamp},
};

use crate::{database::Database, store::SqliteStore, tokens::CACHE_FOR};

/// How many sessions are read at once.
const PAGE: u32 = 100;

/// Stops all sessions of this user, whose tokens were revoked, and returns how many. A running server on
/// the same directory ends them within a second or two; otherwise the next server does.
///
/// # Errors
/// If the records can't be read or written.
pub async fn stop_sessions(
    db: &Database,
    clock: &dyn Clock,
    user: &UserId,
) -> Result<u32, BackendError> {
    // The server may accept a revoked token, and requests that it authenticated, a little longer.
    tokio::time::sleep(CACHE_FOR + Duration::from_millis(500)).await;
    let store = SqliteStore::new(db.clone(), Arc::default());
    let (mut stopped, mut cursor) = (0, None);
    loop {
        let page = store.sessions(user, None, cursor.as_deref(), PAGE).await?;
        for session in page.items {
            if !matches!(session, Session::Stopping(_) | Session::Ended(_)) {
                stopped += u32::from(stop(&store, clock, &session).await?);
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(stopped);
        }
    }
}

/// Returns false if the session is ending already.
async fn stop(
    store: &SqliteStore,
    clock: &dyn Clock,
    session: &Session,
) -> Result<bool, BackendError> {
    loop {
        let Some(read) = store.session(session.id()).await? else { return Ok(false) };
        let stamp = Stamp::new(Actor::User, clock.now());
        let note = Some("the token was revoked".to_owned());
        let event = Event::Stop { reason: Reason::UserStop, note };
        let Ok(transition) = read.value.on(event, stamp) else { return Ok(false) };
        // The queue is in the memory of the server, which finds records that are due by itself.
        let due = transition.session.recheck_at(stamp.now);
        let mut writes = vec![Write::Session(Box::new(due), Expect::At(read.version))];
        writes.extend(transition.entries.into_iter().map(|entry| Write::Entry(Box::new(entry))));
        match store.commit(writes).await {
            Ok(()) => return Ok(true),
            Err(CommitError::Conflict) => {}
            Err(CommitError::Backend(error)) => return Err(error),
            Err(error) => return Err(BackendError::new("stopping a session", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::session::{Queued, Status};
    use testkit::{SimClock, job_id, session_id, spec, user_id};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_sessions_of_one_user_are_stopped_and_due_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open_shared(dir.path()).unwrap();
        let (store, clock) = (SqliteStore::new(db.clone(), Arc::default()), SimClock::default());
        let bob = UserId::new("bob");
        for (name, user) in [("a", user_id()), ("b", user_id()), ("c", bob)] {
            let stamp = Stamp::new(Actor::User, clock.now());
            let session = Queued::accept(session_id(name), user, job_id(name), spec(), stamp).any();
            let write = Write::Session(Box::new(session.session), Expect::New);
            store.commit(vec![write]).await.unwrap();
        }
        assert_eq!(stop_sessions(&db, &clock, &user_id()).await.unwrap(), 2);
        for (name, status) in
            [("a", Status::Stopping), ("b", Status::Stopping), ("c", Status::Queued)]
        {
            let session = store.session(session_id(name)).await.unwrap().unwrap().value;
            assert_eq!(session.status(), status, "{name}");
            assert_eq!(session.due_at() == Some(clock.now()), status == Status::Stopping);
        }
        assert_eq!(stop_sessions(&db, &clock, &user_id()).await.unwrap(), 0);
    }
}
