//! How much of the quota a user has taken.

use domain::{UserId, ports::Quota};

use super::{
    error::StoreError,
    keys::{self, ACTIVE, Key},
    sessions,
    table::Table,
};

pub(super) async fn quota(table: &Table, user: &UserId) -> Result<Quota, StoreError> {
    let key = Key::slots(user);
    let (slots, waiting) = tokio::try_join!(table.get(&key), sessions::waiting(table, user))?;
    let active = slots.and_then(|item| keys::number(&item, ACTIVE)).unwrap_or_default();
    Ok(Quota { active, waiting: u32::try_from(waiting.len()).unwrap_or(u32::MAX) })
}
