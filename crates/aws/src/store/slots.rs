//! A user's use of the quota.

use domain::{UserId, ports::Quota};

use super::{
    fault::Fault,
    keys::{self, ACTIVE, Key},
    sessions,
    table::Table,
};

pub(super) async fn quota(table: &Table, user: &UserId) -> Result<Quota, Fault> {
    let key = Key::slots(user);
    let (slots, waiting) = tokio::try_join!(table.get(&key), sessions::waiting(table, user))?;
    let active = slots.and_then(|item| keys::number(&item, ACTIVE)).unwrap_or_default();
    Ok(Quota { active, waiting: u32::try_from(waiting.len()).unwrap_or(u32::MAX) })
}
