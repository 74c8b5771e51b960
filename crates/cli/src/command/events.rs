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

pub(super) async fn events(context: &Context, args: Events) -> Result<(), Failure> {
    let client = context.client()?;
    let mut seen = 0;
    loop {
        let session = client.get(&format!("/sessions/{}", args.id)).await?;
        let entries = entries(&client, &args.id).await?;
        let new = &entries[seen.min(entries.len())..];
        if context.screen.json {
            for entry in new {
                context.screen.line(&entry.to_string())?;
            }
        } else if seen == 0 {
            context.screen.line(&timeline::table(&rows(&entries)?))?;
        } else {
            for row in rows(new)? {
                context.screen.line(&timeline::line(&row))?;
            }
        }
        seen = entries.len();
        if !args.follow || read::<Session>(&session)?.is_over() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A session's timeline so far.
pub(super) async fn entries(client: &Client, id: &str) -> Result<Vec<Value>, Failure> {
    let page = client.get(&format!("/sessions/{id}/events")).await?;
    Ok(read::<Page<Value>>(&page)?.data)
}

/// The same, as it is shown.
pub(super) fn rows(entries: &[Value]) -> Result<Vec<timeline::Row>, Failure> {
    entries.iter().map(|entry| read(entry).map(timeline::Row::of_event)).collect()
}
