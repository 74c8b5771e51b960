//! `events [ID] [-f]`: prints the timeline of a shell, or the events of all shells of the user.

use std::time::Duration;

use serde_json::Value;

use super::Context;
use crate::{
    args::Events,
    client::{Client, read},
    error::CliError,
    timeline,
    view::{Page, Session},
};

mod of_user;

/// Interval between two reads of a timeline that is followed.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Entries requested per page. Entry numbers have no gaps, so the count of entries is the last number.
const PAGE: usize = 100;

pub(super) async fn events(context: &Context, args: Events) -> Result<(), CliError> {
    let client = context.client()?;
    match args.id {
        Some(id) => timeline_of(context, &client, &id, args.follow).await,
        None => of_user::print(context, &client, args.after.as_deref(), args.follow).await,
    }
}

async fn timeline_of(
    context: &Context,
    client: &Client,
    id: &str,
    follow: bool,
) -> Result<(), CliError> {
    let mut seen = 0;
    loop {
        let session = client.get(&format!("/sessions/{id}")).await?;
        let new = entries(client, id, seen).await?;
        show(context, &new, seen == 0)?;
        seen += new.len();
        if !follow || read::<Session>(&session)?.is_final() {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn show(context: &Context, entries: &[Value], first: bool) -> Result<(), CliError> {
    if context.terminal.json {
        return entries.iter().try_for_each(|entry| context.terminal.json(entry));
    }
    let rows = rows(entries)?;
    if first {
        return context.terminal.line(&timeline::table(&rows));
    }
    rows.iter().try_for_each(|row| context.terminal.line(&timeline::line(row)))
}

/// The entries of a session's timeline after the first `after` ones.
pub(super) async fn entries(
    client: &Client,
    id: &str,
    mut after: usize,
) -> Result<Vec<Value>, CliError> {
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

/// The entries as rows of a table.
pub(super) fn rows(entries: &[Value]) -> Result<Vec<timeline::Row>, CliError> {
    entries.iter().map(|entry| read(entry).map(timeline::Row::of_event)).collect()
}
