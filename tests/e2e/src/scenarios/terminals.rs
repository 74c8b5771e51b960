//! Terminals.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use ssm::client::Channel;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::Scenario;
use crate::{
    harness::Harness,
    user::{SOON, User},
};

/// How long a terminal may take to show what is expected.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);

pub(super) const SCENARIOS: [Scenario; 1] =
    [Scenario::new("terminal", |harness| Box::pin(terminal(harness))).only_without_faults()];

/// A client of the data channel types into a terminal and leaves; another one goes on there.
async fn terminal(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let path = format!("/sessions/{}/terminal", started.session);
    let body = json!({"cols": 101, "rows": 33, "command": ["sh"]});
    let accepted = api.post(&path, &body).await?.expect(202)?;
    let job = accepted.body["jobId"].as_str().context("a job has an id")?.to_owned();
    let mut first = open(&api, &job).await?;
    first.write_all(b"echo $((6*7)) from $(id -un); NAME=kept\r").await?;
    until(&mut first, "42 from shelluser\r\n").await?;
    first.close().await;

    api.post(&format!("/jobs/{job}/terminal"), &json!({})).await?.expect(202)?;
    let mut again = open(&api, &job).await?;
    until(&mut again, "42 from shelluser\r\n").await?;
    again.resize(77, 22);
    let line = "until test \"$(stty size)\" = '22 77'; do sleep 0.1; done; echo re$NAME; exit 7\r";
    again.write_all(line.as_bytes()).await?;
    until(&mut again, "rekept\r\n").await?;
    let end = api.finished(&job, SOON).await?;
    ensure!(end["status"] == "completed" && end["exitCode"] == 7, "{end}");
    ensure!(end["terminal"] == Value::Null, "the terminal is closed: {end}");
    let events = api.events(&started.session).await?;
    for expected in ["terminal_opened", "terminal_closed"] {
        ensure!(events.iter().any(|event| event["type"] == expected), "{expected} in {events:?}");
    }
    api.stop(&started.session).await?;
    Ok(())
}

/// Opens the terminal of a job as soon as that is possible.
async fn open(api: &User, job: &str) -> Result<Channel> {
    let opened = async {
        loop {
            let view = api.get(&format!("/jobs/{job}?waitSeconds=5")).await?.expect(200)?.body;
            let terminal = &view["terminal"];
            if let (Some(url), Some(token)) =
                (terminal["streamUrl"].as_str(), terminal["tokenValue"].as_str())
            {
                return Ok(ssm::client::open(url, token, &[]).await?);
            }
            ensure!(view["status"] == "queued" || view["status"] == "running", "{view}");
        }
    };
    timeout(SOON, opened).await.context("the terminal can't be opened in time")?
}

/// Reads until the terminal has shown this.
async fn until(channel: &mut Channel, wanted: &str) -> Result<()> {
    let mut shown = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&shown).contains(wanted) {
            let count = channel.read_buf(&mut shown).await?;
            ensure!(count > 0, "the terminal was closed");
        }
        Ok(())
    };
    let read = timeout(SHOWN_WITHIN, read).await.context("too late").and_then(|read| read);
    read.with_context(|| format!("{wanted:?} is not in {:?}", String::from_utf8_lossy(&shown)))
}
