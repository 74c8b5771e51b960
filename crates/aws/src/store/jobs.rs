//! Lists of jobs.

use domain::{
    JobId, SessionId,
    command::Concurrency,
    job::Job,
    ports::{Page, Versioned},
};

use super::{
    error::StoreError,
    keys::{self, Attributes, Key, LIST_KEY},
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

/// Whether the session has execute jobs that have not ended.
pub(super) async fn has_open(table: &Table, session: SessionId) -> Result<bool, StoreError> {
    let mailbox = table.get(&Key::mailbox(session)).await?;
    Ok(mailbox.is_some_and(|mailbox| has_unfinished(&mailbox)))
}

/// Whether a session with this mailbox has execute jobs that have not ended.
pub(super) fn has_unfinished(mailbox: &Attributes) -> bool {
    // A set that has become empty is no attribute any more.
    Concurrency::ALL.into_iter().any(|of| mailbox.contains_key(keys::unfinished(of)))
}

/// Execute jobs that have not ended. A job that ended after the mailbox was read is left out.
pub(super) async fn open(
    table: &Table,
    session: SessionId,
    concurrency: Concurrency,
    limit: u32,
) -> Result<Vec<Versioned<Job>>, StoreError> {
    let Some(mailbox) = table.get(&Key::mailbox(session)).await? else { return Ok(Vec::new()) };
    let ids = mailbox.get(keys::unfinished(concurrency)).and_then(|jobs| jobs.as_ss().ok());
    let mut ids: Vec<&String> = ids.into_iter().flatten().collect();
    // Ids sort by arrival.
    ids.sort();
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found: Vec<Versioned<Job>> = Vec::new();
    for ids in ids.chunks(wanted.clamp(1, 100)) {
        if found.len() >= wanted {
            break;
        }
        let records = table.records::<Job>(ids).await?;
        found.extend(records.into_iter().filter(|read| read.value.due_at().is_some()));
    }
    found.truncate(wanted);
    Ok(found)
}
