//! `extend ID`

use serde_json::Map;

use super::{Context, body};
use crate::{args::Extend, client::read, failure::Failure, moment::Moment, view::Session};

pub(super) async fn extend(context: &Context, args: Extend) -> Result<(), Failure> {
    let mut request = Map::new();
    body::set(&mut request, "ttlSecondsFromNow", args.ttl.map(|span| span.0));
    body::set(&mut request, "expiresAt", args.until);
    body::set(&mut request, "allowShorten", args.allow_shorten.then_some(true));
    let path = format!("/sessions/{}/extend", args.id);
    let answer = context.client()?.post(&path, &request.into()).await?;
    let session: Session = read(&answer)?;
    let when = session.expires_at.map_or_else(String::new, |at| at.relative(Moment::now()));
    context.screen.result(&answer, &format!("{} ends {when}", session.session_id))
}
