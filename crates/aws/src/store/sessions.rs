//! Lists of sessions.

use domain::{
    SessionId, UserId,
    ports::{Page, Versioned},
    session::{Session, Status},
};

use super::{
    fault::Fault,
    keys::{self, LIST_KEY, SK, STATUS, WAITING, of_user},
    records::{Gathered, no_page},
    table::{Bounds, Range, Table},
};

pub(super) async fn page(
    table: &Table,
    user: &UserId,
    status: Option<Status>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Session>, Fault> {
    let Some(bounds) = Bounds::behind::<SessionId>(cursor, Bounds::Below) else {
        return Ok(no_page());
    };
    let mut range = Range::listed(of_user(user), bounds).newest_first();
    if status.is_none() {
        range = range.paged(limit.saturating_add(1));
    }
    let fits = |name: Option<&str>| status.is_none_or(|status| name == Some(status.name()));
    let mut pages = table.pages(range);
    let mut found = Gathered::<Session>::of(limit);
    while found.is_short()
        && let Some(items) = pages.next().await?
    {
        let ids = items.iter().filter(|item| fits(keys::text(item, STATUS)));
        let ids: Vec<&str> = ids.filter_map(|item| keys::text(item, LIST_KEY)).collect();
        // The index trails: the records themselves say what they are.
        found.add(table, &ids, |session| fits(Some(session.status().name()))).await?;
    }
    Ok(found.page(|session| session.id().to_string()))
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
