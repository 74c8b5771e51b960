//! Commits whose items depend on what the table has: the numbers of events, and the counters of sessions. They
//! are composed from it, and again if others were faster.

use domain::ports::CommitError;

use super::{
    backoff::Backoff,
    commit::{WriteError, Writer},
    plan::Planned,
    session_counters::SessionCounters,
    table::Table,
    user_events, writing,
};

/// Writes what was planned, in one transaction.
pub(super) async fn commit(
    table: &Table,
    writer: &Writer,
    counters: &SessionCounters,
    planned: Planned,
) -> Result<(), CommitError> {
    if planned.counter.is_none() && planned.events.is_empty() {
        return Ok(writer.write(planned.items).await?);
    }
    let mut backoff = Backoff::new();
    loop {
        let mut items = planned.items.clone();
        if let Some(change) = planned.counter {
            counters.add(table, change, &mut items).await?;
        }
        user_events::add(table, &planned.events, &mut items).await.map_err(writing)?;
        match writer.write(items).await {
            Err(WriteError::Outdated(why)) => backoff.wait(why).await.map_err(writing)?,
            result => return Ok(result?),
        }
    }
}
