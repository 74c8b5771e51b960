//! `extend ID`: moves the end of a shell.

use serde_json::Map;
use time::OffsetDateTime;

use super::{Context, body};
use crate::{args::Extend, client::read, error::CliError, time_format::relative, view::Session};

pub(super) async fn extend(context: &Context, args: Extend) -> Result<(), CliError> {
    let mut request = Map::new();
    body::set(&mut request, "ttlSecondsFromNow", args.ttl.map(|ttl| ttl.0));
    body::set(&mut request, "expiresAt", args.until);
    body::set(&mut request, "allowShorten", args.allow_shorten.then_some(true));
    let path = format!("/sessions/{}/extend", args.id);
    let response = context.client()?.post(&path, &request.into()).await?;
    let session: Session = read(&response)?;
    let when =
        session.expires_at.map_or_else(String::new, |at| relative(at, OffsetDateTime::now_utc()));
    context.terminal.result(&response, &format!("{} ends {when}", session.session_id))
}
