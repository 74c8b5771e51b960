//! `ls`: lists shells.

use serde_json::Value;
use time::OffsetDateTime;

use super::Context;
use crate::{
    args::Ls,
    client::{Client, read},
    error::CliError,
    table::table,
    time_format::relative,
    view::{Page, Session},
};

pub(super) async fn ls(context: &Context, args: Ls) -> Result<(), CliError> {
    let values = sessions(&context.client()?, &args).await?;
    if context.terminal.json {
        return values.iter().try_for_each(|value| context.terminal.json(value));
    }
    let sessions = values.iter().map(read).collect::<Result<Vec<Session>, _>>()?;
    if sessions.is_empty() {
        context.terminal.message("no shells; start one with `ephemeral start`");
        return Ok(());
    }
    context.terminal.line(&listing(&sessions, OffsetDateTime::now_utc()))
}

async fn sessions(client: &Client, args: &Ls) -> Result<Vec<Value>, CliError> {
    let status = args.status.as_ref().map_or_else(String::new, |name| format!("&status={name}"));
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/sessions?limit=100{status}{cursor}")).await?;
        for value in read::<Page<Value>>(&page)?.data {
            if args.all || args.status.is_some() || !read::<Session>(&value)?.is_final() {
                found.push(value);
            }
        }
        let next = page["nextCursor"].as_str();
        if found.len() >= args.limit as usize || next.is_none() {
            found.truncate(args.limit as usize);
            return Ok(found);
        }
        cursor = next.map_or_else(String::new, |next| format!("&cursor={next}"));
    }
}

fn listing(sessions: &[Session], now: OffsetDateTime) -> String {
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| {
            let (end, until) = match session.ended_at {
                Some(at) => (session.reason.clone().unwrap_or_default(), Some(at)),
                None => (String::new(), session.expires_at),
            };
            let when = until.map_or_else(String::new, |at| relative(at, now));
            vec![
                session.session_id.clone(),
                session.status.clone(),
                relative(session.created_at, now),
                when,
                end,
            ]
        })
        .collect();
    table(&["ID", "STATUS", "CREATED", "ENDS", "REASON"], &rows)
}

#[cfg(test)]
mod tests;
