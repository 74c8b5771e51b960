//! Lists of sessions.

use domain::{
    SessionId, UserId,
    ports::{Page, Versioned},
    session::{Session, Status},
};

use super::{
    fault::Fault,
    keys::{self, LIST_KEY, SK, STATUS, WAITING, of_user},
    records::{no_page, page as page_of},
    table::{Bounds, Range, Table},
};

pub(super) async fn page(
    table: &Table,
    user: &UserId,
    status: Option<Status>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Session>, Fault> {
    let bounds = match cursor.map(str::parse::<SessionId>) {
        None => Bounds::All,
        Some(Ok(last)) => Bounds::Below(last.to_string()),
        Some(Err(_)) => return Ok(no_page()),
    };
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut range = Range::listed(of_user(user), bounds).newest_first();
    if status.is_none() {
        range = range.paged(limit.saturating_add(1));
    }
    let mut pages = table.pages(range);
    let mut found: Vec<Versioned<Session>> = Vec::new();
    while found.len() < wanted
        && let Some(items) = pages.next().await?
    {
        let fits = |name| status.is_none_or(|status| name == Some(status.name()));
        let ids = items.iter().filter(|item| fits(keys::text(item, STATUS)));
        let ids: Vec<&str> = ids.filter_map(|item| keys::text(item, LIST_KEY)).collect();
        // In portions: of a long page only the beginning may be wanted.
        for ids in ids.chunks(wanted.min(100)) {
            if found.len() < wanted {
                let records = table.records::<Session>(ids).await?.into_iter();
                // The index trails: the records themselves say who they are.
                found.extend(records.filter(|read| fits(Some(read.value.status().name()))));
            }
        }
    }
    Ok(page_of(found, limit, |session| session.id().to_string()))
}

/// Those in line, oldest first. The records decide: a pointer may outlive its session's wait.
pub(super) async fn waiting(
    table: &Table,
    user: &UserId,
) -> Result<Vec<Versioned<Session>>, Fault> {
    let line = Range::of(of_user(user), Bounds::Begins(WAITING.to_owned()));
    let pointers = table.all(line.keys_only()).await?;
    let ids = pointers.iter().filter_map(|item| keys::text(item, SK)?.strip_prefix(WAITING));
    let mut found = table.records::<Session>(&ids.collect::<Vec<_>>()).await?;
    found.retain(|read| matches!(read.value, Session::Waiting(_)));
    Ok(found)
}
