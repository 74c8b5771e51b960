//! The ceiling of all sessions of the deployment (`EPHEMERAL_MAX_SESSIONS`).
//!
//! Sessions with a slot are counted by several counters, so that starts do not all wait for one item. Each has a share of
//! the ceiling. A start reads them all by one query and raises one that is below its share, in its own transaction; the
//! session's item says which one, and the transaction that ends the session lowers it. So no session stays counted, or is
//! counted off twice, whatever happens in between, as with the slots of a user.

use domain::{SessionId, ports::CommitError};

use super::{
    error::StoreError,
    item::{ConditionFailure, Item},
    keys::{self, ACTIVE, COUNTER, Key, SESSION_COUNTERS, SK, number_value},
    plan::CounterChange,
    table::{Bounds, Range, Table},
    writing,
};

/// How many counters there are. Each allows about fifty transactions a second.
const COUNTERS: u32 = 32;

/// The ceiling, if there is one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SessionCounters {
    pub(super) limit: Option<u32>,
}

impl SessionCounters {
    /// Adds the item of the counter that a session raises or lowers, and changes the session's own item, which is among
    /// these.
    ///
    /// # Errors
    /// `NoCapacity` if there are as many sessions as the ceiling allows.
    pub(super) async fn add(
        &self,
        table: &Table,
        change: CounterChange,
        items: &mut Vec<Item>,
    ) -> Result<(), CommitError> {
        let (session, counter, item) = match (change, self.limit) {
            (CounterChange::Raise(session), Some(limit)) => {
                let counts = read(table).await.map_err(writing)?;
                let counter = choose(&counts, limit).ok_or(CommitError::NoCapacity)?;
                let share = number_value(share(limit, counter));
                let item = Item::update(key(counter)).when_none_or(ACTIVE, "<", share);
                let why = ConditionFailure::Outdated("other sessions have filled the counter");
                (session, Some(counter), item.add(ACTIVE, number_value(1)).on_failure(why))
            }
            (CounterChange::Raise(_), None) => return Ok(()),
            // The session may have been counted when there was a ceiling.
            (CounterChange::Lower(session), _) => {
                let Some(counter) = counter_of(table, session).await.map_err(writing)? else {
                    return Ok(());
                };
                let item = Item::update(key(counter)).on_failure(ConditionFailure::Skip);
                let item = item.when(ACTIVE, ">", number_value(0)).add(ACTIVE, number_value(-1));
                (session, None, item)
            }
        };
        let record = Key::record(session);
        if let Some(of_session) = items.iter_mut().find(|item| item.key == record) {
            *of_session = of_session.clone().set_or_remove(COUNTER, counter.map(number_value));
        }
        items.push(item);
        Ok(())
    }
}

/// How many sessions each counter counts.
async fn read(table: &Table) -> Result<Vec<u32>, StoreError> {
    let mut counts = vec![0; COUNTERS as usize];
    for item in table.all(Range::of(SESSION_COUNTERS.to_owned(), Bounds::All)).await? {
        let counter = keys::text(&item, SK).and_then(|sk| sk.parse::<usize>().ok());
        if let Some(count) = counter.and_then(|counter| counts.get_mut(counter)) {
            *count = keys::number(&item, ACTIVE).unwrap_or_default();
        }
    }
    Ok(counts)
}

/// A counter below its share, one of them at random. None at the ceiling, above which sessions may be if it was lowered.
fn choose(counts: &[u32], limit: u32) -> Option<u32> {
    if counts.iter().map(|count| u64::from(*count)).sum::<u64>() >= u64::from(limit) {
        return None;
    }
    let free =
        (0..COUNTERS).zip(counts).filter(|(counter, count)| **count < share(limit, *counter));
    let free: Vec<u32> = free.map(|(counter, _)| counter).collect();
    free.get(fastrand::usize(..free.len().max(1))).copied()
}

/// How many sessions this counter may count. The shares of all are the ceiling.
const fn share(limit: u32, counter: u32) -> u32 {
    limit / COUNTERS + if counter < limit % COUNTERS { 1 } else { 0 }
}

/// The counter that counts the session, if one does.
async fn counter_of(table: &Table, session: SessionId) -> Result<Option<u32>, StoreError> {
    let item = table.get(&Key::record(session)).await?;
    Ok(item.and_then(|item| keys::number(&item, COUNTER)))
}

fn key(counter: u32) -> Key {
    Key::new(SESSION_COUNTERS, format!("{counter:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_counters_are_the_ceiling() {
        for limit in [0, 1, 31, 32, 33, 100, 1_000_000] {
            let all: u32 = (0..COUNTERS).map(|counter| share(limit, counter)).sum();
            assert_eq!(all, limit);
        }
    }

    #[test]
    fn a_counter_below_its_share_is_found_until_the_ceiling_is_reached() {
        for limit in [1, 5, 32, 70] {
            let mut counts = vec![0; COUNTERS as usize];
            for _ in 0..limit {
                let counter = choose(&counts, limit).unwrap();
                counts[counter as usize] += 1;
                assert!(counts[counter as usize] <= share(limit, counter));
            }
            assert_eq!(choose(&counts, limit), None);
            assert_eq!(choose(&counts, limit / 2), None, "the ceiling was lowered");
        }
    }
}
