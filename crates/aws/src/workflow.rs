//! The workflow port on Step Functions.

use async_trait::async_trait;
use aws_sdk_sfn::{
    Client, error::ProvideErrorMetadata, operation::send_task_success::SendTaskSuccessError,
    operation::start_execution::StartExecutionError,
};
use aws_types::SdkConfig;
use domain::{
    Secret, SessionId,
    ports::{BackendError, Resume, Workflow},
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

    async fn resume(&self, token: &Secret<String>, output: &str) -> Result<Resume, BackendError> {
        let answered =
            self.client.send_task_success().task_token(token.expose()).output(output).send().await;
        match answered {
            Ok(_) => Ok(Resume::Resumed),
            Err(error) => match error.as_service_error() {
                Some(
                    SendTaskSuccessError::TaskTimedOut(_)
                    | SendTaskSuccessError::TaskDoesNotExist(_)
                    | SendTaskSuccessError::InvalidToken(_),
                ) => Ok(Resume::NotWaiting),
                // The service's message may quote the token.
                Some(refused) => {
                    let code = refused.code().unwrap_or("no code").to_owned();
                    Err(BackendError::new("answering a task token", code))
                }
                None => Err(BackendError::new("answering a task token", error)),
            },
        }
    }
}
