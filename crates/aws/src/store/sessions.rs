//! Lists of sessions.

use domain::{
    SessionId, UserId,
    ports::{Page, Versioned},
    session::{Session, Status},
};

use super::{
    error::StoreError,
    jobs,
    keys::{self, Attributes, Key, LIST_KEY, SK, STATUS, WAITING, of_user, status_class},
    record,
    records::{PageBuilder, empty_page},
    table::{Bounds, Range, Table},
};

pub(super) async fn page(
    table: &Table,
    user: &UserId,
    status: Option<Status>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Session>, StoreError> {
    let Some(bounds) = Bounds::after_cursor::<SessionId>(cursor, Bounds::Below) else {
        return Ok(empty_page());
    };
    let mut range = Range::listed(of_user(user), bounds).newest_first();
    if status.is_none() {
        range = range.paged(limit.saturating_add(1));
    }
    // Records of earlier versions have the status itself.
    let may_match = |item: &Attributes| {
        let class = keys::text(item, STATUS).map(status_class);
        status.is_none_or(|status| class == Some(status_class(status.name())))
    };
    let mut pages = table.pages(range);
    let mut page = PageBuilder::<Session>::new(limit);
    while page.needs_more()
        && let Some(items) = pages.next().await?
    {
        let ids = items.iter().filter(|item| may_match(item));
        let ids: Vec<&str> = ids.filter_map(|item| keys::text(item, LIST_KEY)).collect();
        // The index lags behind the table, so the status of the record itself decides.
        let matches = |session: &Session| status.is_none_or(|wanted| session.status() == wanted);
        page.add(table, &ids, matches).await?;
    }
    Ok(page.build(|session| session.id().to_string()))
}

/// A session, and whether its mailbox has unfinished commands. The items follow one another in their partition, so
/// that one read has them all.
pub(super) async fn with_open_jobs(
    table: &Table,
    id: SessionId,
) -> Result<Option<(Versioned<Session>, bool)>, StoreError> {
    let (first, last) = (Key::mailbox(id), Key::part(id));
    let items = table.all(Range::of(first.pk.clone(), Bounds::Between(first.sk, last.sk))).await?;
    let item = |key: Key| items.iter().find(|item| Key::of(item).as_ref() == Some(&key));
    let Some(record) = item(Key::record(id)) else { return Ok(None) };
    let session = record::decode(record, item(Key::part(id)))?;
    let has_open = item(Key::mailbox(id)).is_some_and(jobs::has_unfinished);
    Ok(session.map(|session| (session, has_open)))
}

/// The user's waiting sessions, oldest first. A pointer may outlive the wait, so the record decides.
pub(super) async fn waiting(
    table: &Table,
    user: &UserId,
) -> Result<Vec<Versioned<Session>>, StoreError> {
    let pointers = Range::of(of_user(user), Bounds::Begins(WAITING.to_owned()));
    let pointers = table.all(pointers.keys_only()).await?;
    let ids = pointers.iter().filter_map(|item| keys::text(item, SK)?.strip_prefix(WAITING));
    let mut found = table.records::<Session>(&ids.collect::<Vec<_>>()).await?;
    found.retain(|read| matches!(read.value, Session::Waiting(_)));
    Ok(found)
}
