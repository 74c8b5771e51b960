//! Lists of deliveries. A key in a user's list also contains the session, so the list of one session
//! needs no index of its own; a user has few deliveries.

use domain::{DeliveryId, SessionId, UserId, ports::Page, webhook::Delivery};

use super::{
    error::StoreError,
    keys::{self, LIST_KEY, deliveries_of},
    records::{PageBuilder, empty_page},
    table::{Bounds, Range, Table},
};

pub(super) async fn page(
    table: &Table,
    user: &UserId,
    session: Option<SessionId>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Delivery>, StoreError> {
    let Some(bounds) = Bounds::after_cursor::<DeliveryId>(cursor, Bounds::Below) else {
        return Ok(empty_page());
    };
    let mut range = Range::listed(deliveries_of(user), bounds).newest_first();
    if session.is_none() {
        range = range.paged(limit.saturating_add(1));
    }
    let session = session.map(|id| id.to_string());
    let mut pages = table.pages(range);
    let mut page = PageBuilder::<Delivery>::new(limit);
    while page.needs_more()
        && let Some(items) = pages.next().await?
    {
        let listed = items.iter().filter_map(|item| keys::text(item, LIST_KEY)?.split_once('#'));
        let of_session = |of: &str| session.as_deref().is_none_or(|wanted| wanted == of);
        let ids = listed.filter(|(_, of)| of_session(of)).map(|(id, _)| id);
        page.add(table, &ids.collect::<Vec<_>>(), |_| true).await?;
    }
    Ok(page.build(|delivery| delivery.payload().id.to_string()))
}
