//! The ceiling of all sessions of the deployment (`EPHEMERAL_MAX_SESSIONS`).
//!
//! A session with a slot holds a place. The places are shared out to counters, so that starts do not all wait for one
//! item. A start reads them all by one query and takes a place of one that has some left, in its own transaction; the
//! session's item says which one, and the transaction that ends the session returns the place. So places are neither
//! lost nor returned twice, whatever happens in between, as with the slots of a user.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{SessionId, ports::CommitError};

use super::{
    error::StoreError,
    item::{ConditionFailure, Item},
    keys::{self, ACTIVE, Key, PLACE, PLACES, SK},
    plan::PlaceChange,
    table::{Bounds, Range, Table},
    writing,
};

/// How many counters there are. Each allows about fifty transactions a second.
const COUNTERS: u32 = 32;

/// The ceiling, if there is one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Places {
    pub(super) limit: Option<u32>,
}

impl Places {
    /// Adds the item of a place that a session takes or returns, and changes the session's own item, which is among
    /// these.
    ///
    /// # Errors
    /// `NoCapacity` if all places are taken.
    pub(super) async fn add(
        &self,
        table: &Table,
        change: PlaceChange,
        items: &mut Vec<Item>,
    ) -> Result<(), CommitError> {
        let (session, counter, item) = match (change, self.limit) {
            (PlaceChange::Take(session), Some(limit)) => {
                let taken = read(table).await.map_err(writing)?;
                let counter = choose(&taken, limit).ok_or(CommitError::NoCapacity)?;
                let share = number(share(limit, counter));
                let item = Item::update(key(counter)).when_none_or(ACTIVE, "<", share);
                let why = ConditionFailure::Outdated("other sessions have taken the place");
                (session, Some(counter), item.add(ACTIVE, number(1)).on_failure(why))
            }
            (PlaceChange::Take(_), None) => return Ok(()),
            // It may have been taken when there was a ceiling.
            (PlaceChange::Return(session), _) => {
                let Some(counter) = held(table, session).await.map_err(writing)? else {
                    return Ok(());
                };
                let item = Item::update(key(counter)).on_failure(ConditionFailure::Skip);
                (session, None, item.when(ACTIVE, ">", number(0)).add(ACTIVE, number(-1)))
            }
        };
        let record = Key::record(session);
        if let Some(of_session) = items.iter_mut().find(|item| item.key == record) {
            *of_session = of_session.clone().set_or_remove(PLACE, counter.map(number));
        }
        items.push(item);
        Ok(())
    }
}

/// How many places each counter has given.
async fn read(table: &Table) -> Result<Vec<u32>, StoreError> {
    let mut taken = vec![0; COUNTERS as usize];
    for item in table.all(Range::of(PLACES.to_owned(), Bounds::All)).await? {
        let counter = keys::text(&item, SK).and_then(|sk| sk.parse::<usize>().ok());
        if let Some(of_counter) = counter.and_then(|counter| taken.get_mut(counter)) {
            *of_counter = keys::number(&item, ACTIVE).unwrap_or_default();
        }
    }
    Ok(taken)
}

/// A counter that has a place left, one of them at random. None at the ceiling, above which sessions may be if it was
/// lowered.
fn choose(taken: &[u32], limit: u32) -> Option<u32> {
    if taken.iter().map(|taken| u64::from(*taken)).sum::<u64>() >= u64::from(limit) {
        return None;
    }
    let free = (0..COUNTERS).zip(taken).filter(|(counter, taken)| **taken < share(limit, *counter));
    let free: Vec<u32> = free.map(|(counter, _)| counter).collect();
    free.get(fastrand::usize(..free.len().max(1))).copied()
}

/// How many places this counter has. Together they have as many as the ceiling allows.
const fn share(limit: u32, counter: u32) -> u32 {
    limit / COUNTERS + if counter < limit % COUNTERS { 1 } else { 0 }
}

/// The counter of the place that the session holds, if it holds one.
async fn held(table: &Table, session: SessionId) -> Result<Option<u32>, StoreError> {
    let item = table.get(&Key::record(session)).await?;
    Ok(item.and_then(|item| keys::number(&item, PLACE)))
}

fn key(counter: u32) -> Key {
    Key::new(PLACES, format!("{counter:02}"))
}

fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_have_as_many_places_as_the_ceiling_allows() {
        for limit in [0, 1, 31, 32, 33, 100, 1_000_000] {
            let all: u32 = (0..COUNTERS).map(|counter| share(limit, counter)).sum();
            assert_eq!(all, limit);
        }
    }

    #[test]
    fn a_place_is_found_as_long_as_there_is_one() {
        for limit in [1, 5, 32, 70] {
            let mut taken = vec![0; COUNTERS as usize];
            for _ in 0..limit {
                let counter = choose(&taken, limit).unwrap();
                taken[counter as usize] += 1;
                assert!(taken[counter as usize] <= share(limit, counter));
            }
            assert_eq!(choose(&taken, limit), None);
            assert_eq!(choose(&taken, limit / 2), None, "the ceiling was lowered");
        }
    }
}
