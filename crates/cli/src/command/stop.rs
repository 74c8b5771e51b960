//! `stop ID`

use serde_json::Map;

use super::{Context, body, start};
use crate::{args::Stop, client::read, failure::Failure, view::Accepted};

pub(super) async fn stop(context: &Context, args: Stop) -> Result<(), Failure> {
    let client = context.client()?;
    let mut request = Map::new();
    request.insert("sessionId".into(), args.id.into());
    body::set(&mut request, "reason", args.reason);
    body::set(&mut request, "drain", args.drain.then_some(true));
    let answer = client.post("/shell/stop", &request.into()).await?;
    let accepted: Accepted = read(&answer)?;
    if args.no_wait {
        return context.screen.result(&answer, &accepted.session_id);
    }
    let spinner = context.screen.spinner("stopping");
    let job = start::ended(&client, &accepted.job_id, &spinner).await?;
    drop(spinner);
    start::completed(&job, "the shell was not stopped")?;
    context.screen.result(&job, &accepted.session_id)
}
