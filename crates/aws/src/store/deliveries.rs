//! Lists of deliveries. A key in a user's list also names the session, so that the list of one session
//! costs no index of its own: users have few deliveries, and those who ask see their own.

use domain::{DeliveryId, SessionId, UserId, ports::Page, webhook::Delivery};

use super::{
    fault::Fault,
    keys::{self, LIST_KEY, hooks_of},
    records::{Gathered, no_page},
    table::{Bounds, Range, Table},
};

pub(super) async fn page(
    table: &Table,
    user: &UserId,
    session: Option<SessionId>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Delivery>, Fault> {
    let Some(bounds) = Bounds::behind::<DeliveryId>(cursor, Bounds::Below) else {
        return Ok(no_page());
    };
    let mut range = Range::listed(hooks_of(user), bounds).newest_first();
    if session.is_none() {
        range = range.paged(limit.saturating_add(1));
    }
    let session = session.map(|id| id.to_string());
    let mut pages = table.pages(range);
    let mut found = Gathered::<Delivery>::of(limit);
    while found.is_short()
        && let Some(items) = pages.next().await?
    {
        let listed = items.iter().filter_map(|item| keys::text(item, LIST_KEY)?.split_once('#'));
        let of_session = |of: &str| session.as_deref().is_none_or(|wanted| wanted == of);
        let ids = listed.filter(|(_, of)| of_session(of)).map(|(id, _)| id);
        found.add(table, &ids.collect::<Vec<_>>(), |_| true).await?;
    }
    Ok(found.page(|delivery| delivery.payload().id.to_string()))
}
