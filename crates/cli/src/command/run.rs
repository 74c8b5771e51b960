//! `run [--] CMD`: a shell for one command, gone afterwards.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::{
    Context, body, events,
    exec::{report, watch},
    start::{completed, ended},
};
use crate::{
    args::Run,
    client::{Client, read},
    failure::Failure,
    find,
    interrupt::Interrupt,
    timeline::{self, Row},
    view::Accepted,
};

pub(super) async fn run(context: &Context, args: Run) -> Result<ExitCode, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let mut request = body::start(args.wish);
    request.insert("command".into(), body::how(args.how)?.into());
    match find::server(&context.global)? {
        Some(address) => {
            let client = Client::new(address)?;
            one_shot(context, &client, request, args.timeline, &mut interrupt).await
        }
        None => Err(Failure::other("no server")),
    }
}

/// The session with its one command, from its start until it is gone.
async fn one_shot(
    context: &Context,
    client: &Client,
    request: Map<String, Value>,
    timeline: bool,
    interrupt: &mut Interrupt,
) -> Result<ExitCode, Failure> {
    let accepted: Accepted = read(&client.post("/shell/start", &request.into()).await?)?;
    let command = accepted.command_job_id.unwrap_or(accepted.job_id);
    let session = &accepted.session_id;
    let watched = watch(context, client, &command, interrupt).await?;
    let code = report(context, &watched)?;

    let spinner = context.screen.spinner("stopping");
    let stop = json!({"sessionId": session, "drain": true});
    let stop: Accepted = read(&client.post("/shell/stop", &stop).await?)?;
    let stopped = ended(client, &stop.job_id, &spinner).await?;
    drop(spinner);
    completed(&stopped, "the shell was not stopped")?;
    if timeline {
        tell_timeline(context, client, session, &watched.job).await?;
    }
    Ok(code)
}

async fn tell_timeline(
    context: &Context,
    client: &Client,
    session: &str,
    job: &Value,
) -> Result<(), Failure> {
    let entries = events::entries(client, session).await?;
    let mut rows = events::rows(&entries)?;
    rows.extend(Row::of_job(&read(job)?));
    context.screen.tell(&timeline::table(&rows));
    Ok(())
}
