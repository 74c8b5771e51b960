//! The events of all shells of the user: those that webhooks report.

use serde::Deserialize;
use serde_json::Value;
use time::{OffsetDateTime, serde::rfc3339};

use super::super::Context;
use crate::{
    client::{Client, read},
    error::CliError,
    time_format::clock,
};

/// How long one request waits for an event that is followed. Seconds.
const WAIT: u32 = 20;
/// Events requested at once.
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserEvents {
    data: Vec<Value>,
    next_after: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserEvent {
    seq: u64,
    r#type: String,
    #[serde(with = "rfc3339")]
    timestamp: OffsetDateTime,
    session_id: String,
    job_id: Option<String>,
}

/// Prints the events after this one, and with `follow` those to come.
pub(super) async fn print(
    context: &Context,
    client: &Client,
    after: Option<&str>,
    follow: bool,
) -> Result<(), CliError> {
    let mut after = after.unwrap_or("0").to_owned();
    let wait = if follow { WAIT } else { 0 };
    loop {
        let path = format!("/events?limit={PAGE}&waitSeconds={wait}&after={after}");
        let page: UserEvents = read(&client.get(&path).await?)?;
        for event in &page.data {
            if context.terminal.json {
                context.terminal.json(event)?;
            } else {
                context.terminal.line(&line(&read(event)?))?;
            }
        }
        if page.data.len() < PAGE && !follow {
            return Ok(());
        }
        after = page.next_after.to_string();
    }
}

fn line(event: &UserEvent) -> String {
    let UserEvent { seq, r#type, timestamp, session_id, job_id } = event;
    let at = clock(*timestamp);
    let job = job_id.as_deref().unwrap_or_default();
    format!("{seq:>6}  {at}  {type:<17}  {session_id}  {job}").trim_end().to_owned()
}
