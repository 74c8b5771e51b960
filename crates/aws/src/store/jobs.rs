//! Lists of jobs.

use domain::{
    JobId, SessionId,
    command::Concurrency,
    job::Job,
    ports::{Page, Versioned},
};

use super::{
    error::StoreError,
    keys::{self, LIST_KEY, SK},
    records::{PageBuilder, empty_page},
    table::{Bounds, Range, Table},
};

pub(super) async fn page(
    table: &Table,
    session: SessionId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Job>, StoreError> {
    let Some(bounds) = Bounds::after_cursor::<JobId>(cursor, Bounds::Above) else {
        return Ok(empty_page());
    };
    let range = Range::listed(session.to_string(), bounds).paged(limit.saturating_add(1));
    let mut pages = table.pages(range);
    let mut page = PageBuilder::<Job>::new(limit);
    while page.needs_more()
        && let Some(items) = pages.next().await?
    {
        let ids: Vec<&str> = items.iter().filter_map(|item| keys::text(item, LIST_KEY)).collect();
        page.add(table, &ids, |_| true).await?;
    }
    Ok(page.build(|job| job.id().to_string()))
}

/// Execute jobs that have not ended. A job that ended after its pointer was read is left out.
pub(super) async fn open(
    table: &Table,
    session: SessionId,
    concurrency: Concurrency,
    limit: u32,
) -> Result<Vec<Versioned<Job>>, StoreError> {
    let prefix = keys::open(concurrency);
    let range = Range::of(session.to_string(), Bounds::Begins(prefix.to_owned()));
    let mut pages = table.pages(range.keys_only().paged(limit));
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found: Vec<Versioned<Job>> = Vec::new();
    while found.len() < wanted
        && let Some(pointers) = pages.next().await?
    {
        let ids = pointers.iter().filter_map(|item| keys::text(item, SK)?.strip_prefix(prefix));
        let records = table.records::<Job>(&ids.collect::<Vec<_>>()).await?;
        found.extend(records.into_iter().filter(|read| read.value.due_at().is_some()));
    }
    found.truncate(wanted);
    Ok(found)
}
