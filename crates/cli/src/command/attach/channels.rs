//! Opens the terminal of a job.

use std::time::Duration;

use serde_json::json;
use ssm::client::{self as data_channel, Channel};
use tokio::time::{Instant, sleep};

use crate::{
    client::{Client, read},
    error::CliError,
    view::{DataChannel, Job},
};

/// For how long a lost connection is resumed; a server on one machine permits that for as long.
const RESUME_TIME: Duration = Duration::from_secs(30);
/// For how long the acknowledgement of output may wait for a key, so that output is shown first.
const ACKNOWLEDGEMENT_DELAY: Duration = Duration::from_millis(5);
/// For how long a terminal is opened again whose connection can't be resumed.
const RECONNECT_TIME: Duration = Duration::from_secs(30);
const RECONNECT_DELAY: Duration = Duration::from_millis(500);
/// How long the record of a command that has ended may still say that it runs.
const END_DELAY: Duration = Duration::from_secs(2);
const END_POLL: Duration = Duration::from_millis(50);

/// The channels to the terminal of a job, one after the other.
pub(super) struct Channels<'a> {
    pub(super) client: &'a Client,
    pub(super) job: &'a str,
}

impl Channels<'_> {
    /// Opens the terminal once that is possible; `None` if the command has ended.
    pub(super) async fn open(
        &self,
        progress: impl Fn(String),
    ) -> Result<Option<Channel>, CliError> {
        loop {
            let view = self.job(20).await?;
            if view.is_final() {
                return Ok(None);
            }
            match view.terminal {
                Some(offer) => return open(self.client, &offer).await.map(Some),
                None => progress(format!("opening a terminal: {}", view.status)),
            }
        }
    }

    /// Opens the terminal again; `None` if the command has ended.
    pub(super) async fn open_again(&self) -> Result<Option<Channel>, CliError> {
        let deadline = Instant::now() + RECONNECT_TIME;
        loop {
            let opened = async {
                if self.job(0).await?.is_final() {
                    return Ok(None);
                }
                permit(self.client, self.job).await?;
                self.open(|_| {}).await
            };
            match opened.await {
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    sleep(RECONNECT_DELAY).await;
                }
                opened => {
                    let hint = format!("`ephemeral attach {}` opens the terminal again", self.job);
                    return opened.map_err(|error| error.hint(hint));
                }
            }
        }
    }

    /// Whether the command has ended; false if that can't be known.
    pub(super) async fn job_has_ended(&self) -> bool {
        let deadline = Instant::now() + END_DELAY;
        loop {
            match self.job(1).await {
                Ok(job) if job.is_final() => return true,
                // The wait is short if another client may open the terminal.
                Ok(_) if Instant::now() < deadline => sleep(END_POLL).await,
                Ok(_) | Err(_) => return false,
            }
        }
    }

    /// The job, once it has ended or its terminal can be opened, or after this many seconds.
    async fn job(&self, seconds: u32) -> Result<Job, CliError> {
        let value = self.client.get(&format!("/jobs/{}?waitSeconds={seconds}", self.job)).await?;
        read(&value)
    }
}

/// Asks for another permission to open the terminal of a running job.
pub(super) async fn permit(client: &Client, job: &str) -> Result<(), CliError> {
    client.post_idempotent(&format!("/jobs/{job}/terminal"), &json!({})).await.map(drop)
}

async fn open(client: &Client, offer: &DataChannel) -> Result<Channel, CliError> {
    let url = client.reachable(&offer.stream_url);
    let options = data_channel::Options {
        resume: RESUME_TIME,
        acknowledgement_delay: ACKNOWLEDGEMENT_DELAY,
        ..Default::default()
    };
    data_channel::open_with(options, &url, &offer.token_value, &[])
        .await
        .map_err(|error| CliError::chain("can't open the terminal", &error).transient())
}
