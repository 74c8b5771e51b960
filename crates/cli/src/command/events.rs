//! `events ID [-f]`

use std::time::Duration;

use serde_json::Value;

use super::Context;
use crate::{
    args::Events,
    client::{Client, read},
    failure::Failure,
    timeline,
    view::{Page, Session},
};

/// How often a timeline is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Entries asked for at once. Their numbers have no gaps, so counting them tells the next.
const PAGE: usize = 100;

pub(super) async fn events(context: &Context, args: Events) -> Result<(), Failure> {
    let client = context.client()?;
    let mut seen = 0;
    loop {
        let session = client.get(&format!("/sessions/{}", args.id)).await?;
        let new = entries(&client, &args.id, seen).await?;
        show(context, &new, seen == 0)?;
        seen += new.len();
        if !args.follow || read::<Session>(&session)?.is_over() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn show(context: &Context, entries: &[Value], first: bool) -> Result<(), Failure> {
    if context.screen.json {
        return entries.iter().try_for_each(|entry| context.screen.line(&entry.to_string()));
    }
    let rows = rows(entries)?;
    if first {
        return context.screen.line(&timeline::table(&rows));
    }
    rows.iter().try_for_each(|row| context.screen.line(&timeline::line(row)))
}

/// A session's timeline after this many entries.
pub(super) async fn entries(
    client: &Client,
    id: &str,
    mut after: usize,
) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    loop {
        let page = client.get(&format!("/sessions/{id}/events?after={after}&limit={PAGE}")).await?;
        let page = read::<Page<Value>>(&page)?.data;
        let last = page.len() < PAGE;
        after += page.len();
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// The same, as it is shown.
pub(super) fn rows(entries: &[Value]) -> Result<Vec<timeline::Row>, Failure> {
    entries.iter().map(|entry| read(entry).map(timeline::Row::of_event)).collect()
}
