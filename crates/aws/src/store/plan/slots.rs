//! What a commit takes from a user's quota: a slot, a token of the bucket for starts, or both, in one item.

use domain::{
    Timestamp,
    ports::CommitError,
    rate::{Empty, Rate},
};

use super::{
    super::keys::{self, ACTIVE, Attributes, Key, STARTS_FULL_AT, number_value},
    ConditionFailure, Item,
};

/// What a commit takes from a user's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct Slots {
    /// Take a slot, of so many.
    pub(super) limit: Option<u32>,
    /// Take a token of this bucket, at this time.
    pub(super) start: Option<(Timestamp, Rate)>,
}

impl Slots {
    /// The item if the bucket is full, which it is unless the user's last start was less than the interval ago:
    /// an expression can't compute the later of two times, and reading the item first would cost in each start.
    pub(super) fn item(self, key: Key) -> Item {
        let item = self.taking_slot(key).on_failure(ConditionFailure::Slots(self));
        let Some((at, rate)) = self.start else { return item };
        let item = item.when_none_or(STARTS_FULL_AT, "<=", number_value(at.millis()));
        item.set(STARTS_FULL_AT, number_value((at + rate.interval()).millis()))
    }

    /// The item to try after the condition of [`Self::item`] did not hold for the item that was found. If its own
    /// condition fails, others were faster, which is a conflict.
    ///
    /// # Errors
    /// If the quota or the rate does not allow what is taken.
    pub(in super::super) fn item_after(
        self,
        found: &Attributes,
        key: Key,
    ) -> Result<Item, CommitError> {
        let active = keys::number::<u32>(found, ACTIVE).unwrap_or_default();
        let is_quota_reached = self.limit.is_some_and(|limit| active >= limit);
        let Some((at, rate)) = self.start.filter(|_| !is_quota_reached) else {
            return Err(CommitError::QuotaReached);
        };
        let full_at = keys::number(found, STARTS_FULL_AT).map(Timestamp::from_millis);
        let taken = rate.take(full_at, at).map_err(|Empty(wait)| CommitError::RateLimited(wait))?;
        let item = self.taking_slot(key);
        let latest = at + rate.until_full();
        Ok(match full_at {
            Some(full_at) if full_at > latest => item
                .when(STARTS_FULL_AT, "=", number_value(full_at.millis()))
                .set(STARTS_FULL_AT, number_value(taken.millis())),
            // As often as concurrent starts of the user leave tokens.
            Some(full_at) if full_at > at => item
                .when(STARTS_FULL_AT, ">", number_value(at.millis()))
                .when(STARTS_FULL_AT, "<=", number_value(latest.millis()))
                .add(STARTS_FULL_AT, number_value(rate.interval().as_millis())),
            _ => return Err(CommitError::Conflict),
        })
    }

    fn taking_slot(self, key: Key) -> Item {
        let item = Item::update(key);
        match self.limit {
            None => item,
            // Users without a count must be refused too.
            Some(0) => item.when(ACTIVE, "<", number_value(0)).add(ACTIVE, number_value(1)),
            Some(limit) => {
                item.when_none_or(ACTIVE, "<", number_value(limit)).add(ACTIVE, number_value(1))
            }
        }
    }
}
