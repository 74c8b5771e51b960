//! Lists of warm tasks.

use domain::{
    ports::Versioned,
    warm::{Kind, Warm},
};

use super::{
    error::StoreError,
    keys::{self, SK, pool},
    table::{Bounds, Range, Table},
};

/// The kind's warm tasks that are not final, oldest first.
pub(super) async fn of_kind(
    table: &Table,
    kind: &Kind,
) -> Result<Vec<Versioned<Warm>>, StoreError> {
    let pointers = table.all(Range::of(pool(kind), Bounds::All).keys_only()).await?;
    let ids: Vec<&str> = pointers.iter().filter_map(|item| keys::text(item, SK)).collect();
    let mut found = table.records::<Warm>(&ids).await?;
    found.retain(|read| read.value.due_at().is_some());
    Ok(found)
}
