//! The runner inside a task, reached through ECS Exec: a terminal in which the runner's own program
//! bridges lines to the runner's socket.

use std::{sync::Arc, time::Duration};

use adapters::shell::{Dial, Transport};
use async_trait::async_trait;
use aws_sdk_ecs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::execute_command::ExecuteCommandError,
    types::Session,
};
use aws_types::SdkConfig;
use domain::{
    TaskId,
    ports::{BackendError, Compute, ShellError},
    task::TaskStatus,
};
use ssm::client::{OpenError, Options};

use crate::compute::{CONTAINER, EcsCompute, is_throttled};

mod signature;
mod text;

use signature::Signer;
use text::Text;

/// Where the image has the runner. ECS Exec splits the words itself and runs them as root.
const BRIDGE: &str = "/opt/ephemeral/runner --stdio";
/// For the WebSocket, and again for the greeting: the agent's writer sleeps for a second first.
const OPEN_WITHIN: Duration = Duration::from_secs(8);
/// A new way costs seconds and one call of a small budget
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>).
const KEEP_IDLE: Duration = Duration::from_secs(120);

const ACTION: &str = "opening a way to a runner";

/// Opens terminals in the tasks of one cluster.
#[derive(Debug)]
pub struct ExecDial {
    client: Client,
    cluster: String,
    compute: Arc<EcsCompute>,
    signer: Signer,
}

impl ExecDial {
    /// `compute` says what became of a task that does not answer.
    pub fn new(config: &SdkConfig, cluster: String, compute: Arc<EcsCompute>) -> Self {
        Self { client: Client::new(config), cluster, compute, signer: Signer::new(config) }
    }

    /// A session of ECS Exec. None if there is none to be had for the moment.
    async fn session(&self, task: &TaskId) -> Result<Option<Session>, ShellError> {
        let executed = self
            .client
            .execute_command()
            .cluster(&self.cluster)
            .task(task.as_str())
            .container(CONTAINER)
            .interactive(true)
            .command(BRIDGE)
            .send()
            .await;
        match executed {
            Ok(executed) => Ok(executed.session),
            Err(error) if is_throttled(error.code()) => Err(ShellError::NotReady),
            Err(error) if is_not_ready(&error) => {
                let why = error.message();
                tracing::debug!(task.id = %task, why, "there is no way to a runner yet");
                Ok(None)
            }
            // Its text would hold the answer, and that a token.
            Err(SdkError::ResponseError(_)) => {
                Err(BackendError::new(ACTION, "the answer can't be read").into())
            }
            Err(error) => Err(BackendError::new(ACTION, error).into()),
        }
    }

    /// None if the session ended, or said nothing, before the runner was there.
    async fn connect(&self, session: &Session) -> Result<Option<Text>, ShellError> {
        let (Some(url), Some(token)) = (session.stream_url(), session.token_value()) else {
            return Err(BackendError::new(ACTION, "the session has no address").into());
        };
        let headers = self.signer.headers(url).await?;
        let options = Options { handshake_timeout: OPEN_WITHIN, ..Options::default() };
        let channel = match ssm::client::open_with(options, url, token, &headers).await {
            Ok(channel) => channel,
            Err(OpenError::TimedOut) => return Ok(None),
            Err(
                error @ (OpenError::InvalidRequest(_)
                | OpenError::Refused(_)
                | OpenError::Backend(_)),
            ) => return Err(BackendError::new(ACTION, error).into()),
        };
        let mut text = Text::over(channel);
        let greeted = tokio::time::timeout(OPEN_WITHIN, text.greeting()).await;
        Ok(matches!(greeted, Ok(Ok(()))).then_some(text))
    }
}

#[async_trait]
impl Dial for ExecDial {
    async fn open(&self, task: &TaskId) -> Result<Box<dyn Transport>, ShellError> {
        if let Some(session) = self.session(task).await?
            && let Some(text) = self.connect(&session).await?
        {
            return Ok(Box::new(text));
        }
        Err(if self.is_gone(task).await { ShellError::Gone } else { ShellError::NotReady })
    }

    async fn is_gone(&self, task: &TaskId) -> bool {
        match self.compute.describe(std::slice::from_ref(task)).await {
            Ok(told) => told.iter().all(|facts| facts.status == TaskStatus::Stopped),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(task.id = %task, error, "it is not known whether a task is gone");
                false
            }
        }
    }

    fn memory_kills(&self, _: &TaskId) -> u64 {
        // Not seen from outside. The runner sees its own control group on Fargate, and says so.
        0
    }

    fn keep_idle(&self) -> Duration {
        KEEP_IDLE
    }
}

/// The agent in the task does not run yet, or not any more. ECS has two errors for it: one of a
/// connection that is not there, and, while the agent starts, one of a wrong parameter.
fn is_not_ready(error: &SdkError<ExecuteCommandError>) -> bool {
    matches!(
        error.as_service_error(),
        Some(
            ExecuteCommandError::TargetNotConnectedException(_)
                | ExecuteCommandError::InvalidParameterException(_)
        )
    )
}
