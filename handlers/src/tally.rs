//! What a session's commands used together.

use domain::{
    SessionId,
    cost::Tally,
    ports::{BackendError, Page},
};

use crate::Env;

/// Jobs read at once.
const PART: u32 = 100;
/// Parts read at most: it is an estimate, and the end of a session must not wait for it.
const PARTS: u32 = 10;

/// Adds up the commands of a session, of its first 1,000 jobs.
pub(crate) async fn of(env: &Env, session: SessionId) -> Result<Tally, BackendError> {
    let mut tally = Tally::default();
    let mut cursor = None;
    for _ in 0..PARTS {
        let Page { items, next } = env.store.jobs(session, cursor.as_deref(), PART).await?;
        tally = tally + items.iter().map(Tally::of).sum();
        if next.is_none() {
            break;
        }
        cursor = next;
    }
    Ok(tally)
}
