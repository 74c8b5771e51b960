//! Connects to the runner in a task through ECS Exec: the command in its terminal is the runner program
//! itself, which bridges text lines to the runner's socket.

use std::{io, sync::Arc, time::Duration};

use adapters::shell::{DataChannel, Dial, Transport};
use async_trait::async_trait;
use aws_sdk_ecs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::execute_command::ExecuteCommandError,
    types::Session,
};
use aws_types::SdkConfig;
use domain::{
    JobId, Secret, TaskId, Timestamp,
    ports::{BackendError, Compute, ShellError},
    task::TaskStatus,
};
use ssm::client::{OpenError, Options};

use crate::compute::{CONTAINER, EcsCompute, is_throttled};

mod line_stream;
mod signature;

use line_stream::LineStream;
use signature::Signer;

/// The bridge command in the image. ECS Exec splits the command line itself and runs it as root.
const BRIDGE: &str = "/opt/ephemeral/runner --stdio";
/// The command that passes the terminal of a job on; the job's id follows.
const TERMINAL: &str = "/opt/ephemeral/runner --terminal";
/// Time limit for the WebSocket handshake, and again for the greeting. The agent's writer sleeps for a
/// second before it sends.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);
/// How long an unused connection is kept. Opening another takes seconds and one ExecuteCommand call, whose
/// rate AWS limits
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>).
const KEEP_IDLE: Duration = Duration::from_secs(120);

const ACTION: &str = "connecting to the runner";

/// Opens terminals in the tasks of one cluster.
#[derive(Debug)]
pub struct ExecDial {
    client: Client,
    cluster: String,
    compute: Arc<EcsCompute>,
    signer: Signer,
    client_version: String,
}

impl ExecDial {
    /// `compute` tells whether a task that does not respond has stopped.
    pub fn new(config: &SdkConfig, cluster: String, compute: Arc<EcsCompute>) -> Self {
        Self {
            client: Client::new(config),
            cluster,
            compute,
            signer: Signer::new(config),
            client_version: ssm::client::Options::default().client_version,
        }
    }

    /// Reports this version of session-manager-plugin. AWS refuses old versions from time to time.
    #[must_use]
    pub fn reporting(mut self, client_version: &str) -> Self {
        client_version.clone_into(&mut self.client_version);
        self
    }

    /// Starts a session of ECS Exec that runs this command in the task. None if the agent in the task is
    /// not connected.
    async fn session(&self, task: &TaskId, command: &str) -> Result<Option<Session>, ShellError> {
        let executed = self
            .client
            .execute_command()
            .cluster(&self.cluster)
            .task(task.as_str())
            .container(CONTAINER)
            .interactive(true)
            .command(command)
            .send()
            .await;
        match executed {
            Ok(executed) => Ok(executed.session),
            Err(error) if is_throttled(error.code()) => Err(ShellError::NotReady),
            Err(error) if is_not_ready(&error) => {
                let reason = error.message();
                tracing::debug!(task.id = %task, reason, "the task does not accept ECS Exec yet");
                Ok(None)
            }
            // The error's text contains the response, which contains a token.
            Err(SdkError::ResponseError(_)) => {
                Err(BackendError::new(ACTION, "the response of ExecuteCommand cannot be decoded")
                    .into())
            }
            Err(error) => Err(BackendError::new(ACTION, error).into()),
        }
    }

    /// Opens the session's data channel. None if the channel ended, or timed out, before the greeting.
    async fn connect(&self, session: &Session) -> Result<Option<LineStream>, ShellError> {
        let (Some(url), Some(token)) = (session.stream_url(), session.token_value()) else {
            return Err(BackendError::new(ACTION, "the session has no stream URL or token").into());
        };
        let headers = self.signer.headers(url).await?;
        let options = Options {
            handshake_timeout: OPEN_TIMEOUT,
            client_version: self.client_version.clone(),
            ..Options::default()
        };
        let channel = match ssm::client::open_with(options, url, token, &headers).await {
            Ok(channel) => channel,
            Err(OpenError::TimedOut) => return Ok(None),
            Err(
                error @ (OpenError::InvalidRequest(_)
                | OpenError::Refused(_)
                | OpenError::Backend(_)),
            ) => return Err(BackendError::new(ACTION, error).into()),
        };
        let mut stream = LineStream::new(channel);
        let greeted = tokio::time::timeout(OPEN_TIMEOUT, stream.wait_for_greeting()).await;
        Ok(matches!(greeted, Ok(Ok(()))).then_some(stream))
    }
}

#[async_trait]
impl Dial for ExecDial {
    async fn open(&self, task: &TaskId) -> Result<Box<dyn Transport>, ShellError> {
        if let Some(session) = self.session(task, BRIDGE).await?
            && let Some(stream) = self.connect(&session).await?
        {
            return Ok(Box::new(stream));
        }
        Err(if self.is_gone(task).await { ShellError::Gone } else { ShellError::NotReady })
    }

    async fn is_gone(&self, task: &TaskId) -> bool {
        match self.compute.describe(std::slice::from_ref(task)).await {
            Ok(found) => found.iter().all(|facts| facts.status == TaskStatus::Stopped),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(task.id = %task, error, "failed to check whether the task has stopped");
                false
            }
        }
    }

    fn memory_kills(&self, _: &TaskId) -> u64 {
        // ECS does not report them. The runner reads its own control group on Fargate and reports them.
        0
    }

    fn proves_unread(&self, _: &io::Error) -> bool {
        // What a data channel has accepted may have reached the runner before the channel ended.
        false
    }

    fn keep_idle(&self) -> Duration {
        KEEP_IDLE
    }

    /// AWS decides for how long the token is valid; `until` is when this deployment stops showing it.
    async fn offer_terminal(
        &self,
        task: &TaskId,
        job: JobId,
        _until: Timestamp,
    ) -> Result<DataChannel, ShellError> {
        let session = self.session(task, &format!("{TERMINAL} {job}")).await?;
        let Some(session) = session else {
            let gone = self.is_gone(task).await;
            return Err(if gone { ShellError::Gone } else { ShellError::NotReady });
        };
        match (session.session_id, session.stream_url, session.token_value) {
            (Some(id), Some(stream_url), Some(token)) => {
                Ok(DataChannel { id, stream_url, token: Secret::new(token) })
            }
            _ => {
                Err(BackendError::new(ACTION, "the session has no id, stream URL or token").into())
            }
        }
    }
}

/// Whether the agent in the task is not running yet, or no longer. ECS reports that by one of two
/// errors: a missing connection or, while the agent starts, an invalid parameter.
fn is_not_ready(error: &SdkError<ExecuteCommandError>) -> bool {
    matches!(
        error.as_service_error(),
        Some(
            ExecuteCommandError::TargetNotConnectedException(_)
                | ExecuteCommandError::InvalidParameterException(_)
        )
    )
}
