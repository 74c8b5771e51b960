//! What the commands of a session used together.

use domain::{
    SessionId,
    cost::Tally,
    ports::{BackendError, Page},
};

use crate::Env;

/// How many jobs are read at once.
const PAGE: u32 = 100;
/// How many pages are read at most: the sum is an estimate, and the end of a session must not wait
/// for it.
const PAGES: u32 = 10;

/// Adds up what the first 1,000 jobs of a session used.
pub(crate) async fn of(env: &Env, session: SessionId) -> Result<Tally, BackendError> {
    let mut tally = Tally::default();
    let mut cursor = None;
    for _ in 0..PAGES {
        let Page { items, next } = env.store.jobs(session, cursor.as_deref(), PAGE).await?;
        tally = tally + items.iter().map(Tally::of).sum();
        if next.is_none() {
            break;
        }
        cursor = next;
    }
    Ok(tally)
}
