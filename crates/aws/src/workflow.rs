//! The workflow port on Step Functions.

use async_trait::async_trait;
use aws_sdk_sfn::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::start_execution::StartExecutionError,
};
use aws_types::SdkConfig;
use domain::{
    Secret, SessionId,
    ports::{Answer, BackendError, Resume, Workflow},
};
use serde_json::json;

/// Starts executions of one state machine and answers their task tokens.
#[derive(Debug, Clone)]
pub struct SfnWorkflow {
    client: Client,
    machine: Option<String>,
}

impl SfnWorkflow {
    /// `machine` is the state machine's ARN; without one, no execution can be started.
    pub fn new(config: &SdkConfig, machine: Option<String>) -> Self {
        Self { client: Client::new(config), machine }
    }
}

#[async_trait]
impl Workflow for SfnWorkflow {
    /// Starts the session's execution; succeeds if it exists. The execution's name is the session's id,
    /// and Step Functions accepts a name again only after 90 days, so a session has one execution
    /// (<https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>).
    async fn start(&self, session: SessionId) -> Result<(), BackendError> {
        let action = "starting an execution";
        let machine = self.machine.as_ref().ok_or_else(|| {
            BackendError::new(action, "this function has no state machine configured")
        })?;
        let started = self
            .client
            .start_execution()
            .state_machine_arn(machine)
            .name(session.to_string())
            .input(json!({"sessionId": session}).to_string())
            .send()
            .await;
        match started {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(StartExecutionError::ExecutionAlreadyExists(_)) => Ok(()),
                _ => Err(BackendError::new(action, error)),
            },
        }
    }

    async fn resume(
        &self,
        token: &Secret<String>,
        answer: Answer<'_>,
    ) -> Result<Resume, BackendError> {
        let token = token.expose();
        match answer {
            Answer::Output(output) => {
                let call = self.client.send_task_success().task_token(token).output(output);
                resumed(call.send().await.map(drop))
            }
            Answer::Error(name) => {
                let call = self.client.send_task_failure().task_token(token).error(name);
                resumed(call.send().await.map(drop))
            }
        }
    }
}

/// What came of answering a task token.
fn resumed<E, R>(answered: Result<(), SdkError<E, R>>) -> Result<Resume, BackendError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let Err(error) = answered else { return Ok(Resume::Resumed) };
    match error.as_service_error().map(|refused| refused.code().unwrap_or("no code")) {
        Some("TaskTimedOut" | "TaskDoesNotExist" | "InvalidToken") => Ok(Resume::NotWaiting),
        // The service's message may quote the token.
        Some(code) => Err(BackendError::new("answering a task token", code.to_owned())),
        None => Err(BackendError::new("answering a task token", error)),
    }
}
