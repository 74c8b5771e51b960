//! `stop ID`: stops a shell and waits for its end.

use serde_json::Map;

use super::{Context, body, start};
use crate::{args::Stop, client::read, error::CliError, view::Accepted};

pub(super) async fn stop(context: &Context, args: Stop) -> Result<(), CliError> {
    let client = context.client()?;
    let mut request = Map::new();
    request.insert("sessionId".into(), args.id.into());
    body::set(&mut request, "reason", args.reason);
    body::set(&mut request, "drain", args.drain.then_some(true));
    let response = client.post("/shell/stop", &request.into()).await?;
    let accepted: Accepted = read(&response)?;
    if args.no_wait {
        return context.terminal.result(&response, &accepted.session_id);
    }
    let spinner = context.terminal.spinner("stopping");
    let job = start::wait_until_final(&client, &accepted.job_id, &spinner).await?;
    drop(spinner);
    start::require_completed(&job, "the shell was not stopped")?;
    context.terminal.result(&job, &accepted.session_id)
}
