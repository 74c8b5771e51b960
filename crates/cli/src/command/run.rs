//! `run [--] CMD`: a shell for one command, gone afterwards.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::{
    Context, body, events,
    exec::{Watched, report, watch},
    start::{completed, ended},
    up,
};
use crate::{
    args::{Place, Run},
    client::{Client, read},
    embedded::Embedded,
    failure::Failure,
    find,
    interrupt::Interrupt,
    timeline::{self, Row},
    view::Accepted,
};

pub(super) async fn run(context: &Context, args: Run) -> Result<ExitCode, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let errand = Errand {
        start: body::start(args.wish),
        execute: body::how(args.how)?,
        timeline: args.timeline,
    };
    let watched = match find::server(&context.global)? {
        Some(address) => errand.run(context, &Client::new(address)?, &mut interrupt).await,
        None => alone(context, &args.place, errand, &mut interrupt).await,
    }?;
    report(context, &watched)
}

/// With a server of our own, which is gone afterwards whatever happened.
async fn alone(
    context: &Context,
    place: &Place,
    mut errand: Errand,
    interrupt: &mut Interrupt,
) -> Result<Watched, Failure> {
    up::log(&std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned()))?;
    // Our own server has no images but the one that it is given.
    let image = errand.start.remove("image").and_then(|path| Some(path.as_str()?.into()));
    let server = Embedded::start(place, image).await?;
    let done = async {
        let client = Client::new(server.address()?)?;
        errand.run(context, &client, interrupt).await
    }
    .await;
    let stopped = server.stop().await;
    done.and_then(|watched| stopped.map(|()| watched))
}

/// A session for one command.
pub(super) struct Errand {
    start: Map<String, Value>,
    execute: Map<String, Value>,
    timeline: bool,
}

impl Errand {
    /// This line for the shell, and nothing else said.
    pub(super) fn of(line: &str) -> Self {
        let mut execute = Map::new();
        execute.insert("command".into(), line.into());
        Self { start: Map::new(), execute, timeline: false }
    }

    /// From the session's start until it is gone.
    pub(super) async fn run(
        self,
        context: &Context,
        client: &Client,
        interrupt: &mut Interrupt,
    ) -> Result<Watched, Failure> {
        let timeline = self.timeline;
        let started = client.post("/shell/start", &self.start.into()).await?;
        let session = read::<Accepted>(&started)?.session_id;
        let done = command(context, client, &session, self.execute, interrupt).await;
        let gone = stop(context, client, &session).await;
        let watched = done?;
        gone?;
        if timeline {
            tell_timeline(context, client, &session, &watched.job).await?;
        }
        Ok(watched)
    }
}

async fn command(
    context: &Context,
    client: &Client,
    session: &str,
    mut execute: Map<String, Value>,
    interrupt: &mut Interrupt,
) -> Result<Watched, Failure> {
    execute.insert("sessionId".into(), session.into());
    let accepted: Accepted = read(&client.post("/shell/execute", &execute.into()).await?)?;
    // From here on the session ends with its command, even if we are killed.
    client.post("/shell/stop", &json!({"sessionId": session, "drain": true})).await?;
    watch(context, client, &accepted.job_id, interrupt).await
}

async fn stop(context: &Context, client: &Client, session: &str) -> Result<(), Failure> {
    let stop: Accepted = read(&client.post("/shell/stop", &json!({"sessionId": session})).await?)?;
    let spinner = context.screen.spinner("stopping");
    let stopped = ended(client, &stop.job_id, &spinner).await?;
    completed(&stopped, "the shell was not stopped")
}

async fn tell_timeline(
    context: &Context,
    client: &Client,
    session: &str,
    job: &Value,
) -> Result<(), Failure> {
    let entries = events::entries(client, session, 0).await?;
    let mut rows = events::rows(&entries)?;
    rows.extend(Row::of_job(&read(job)?));
    context.screen.tell(&timeline::table(&rows));
    Ok(())
}
