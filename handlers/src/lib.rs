//! The verbs: one file per handler. This list is all there is.
//!
//! A handler reads the record, decides by the domain's rules, writes its intent, acts, writes the
//! result. Each is safe to run twice. None sees how it was called: an envelope is unwrapped before.

use std::str::FromStr;

use domain::message::{Lane, Message};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tracing::Instrument;

pub mod env;
pub mod error;
pub mod http;

mod await_end;
mod await_running;
mod await_stopped;
mod cancel_job;
mod close_session;
mod deliver_webhook;
mod fill_pool;
mod inspect_session;
mod notify_session;
mod observe_task;
mod probe_task;
mod provision_task;
mod run_job;
mod signal_job;
mod start_session;
mod stop_task;
mod sweep;

mod notification;
mod outbox;
mod tally;
mod transition;
mod view;

pub use env::{Env, Policy};
pub use error::{Code, HandlerError};

/// All handlers but the API itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handler {
    ProvisionTask,
    AwaitRunning,
    InspectSession,
    AwaitEnd,
    StopTask,
    AwaitStopped,
    CloseSession,
    StartSession,
    NotifySession,
    FillPool,
    RunJob,
    CancelJob,
    SignalJob,
    ObserveTask,
    ProbeTask,
    DeliverWebhook,
    Sweep,
}

/// What makes a handler run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A state of the session's execution.
    Workflow,
    /// A message on this lane.
    Message(Lane),
    /// The clock, every minute.
    Schedule,
}

/// There is no handler of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no handler of this name")]
pub struct UnknownHandler;

impl Handler {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::ProvisionTask,
        Self::AwaitRunning,
        Self::InspectSession,
        Self::AwaitEnd,
        Self::StopTask,
        Self::AwaitStopped,
        Self::CloseSession,
        Self::StartSession,
        Self::NotifySession,
        Self::FillPool,
        Self::RunJob,
        Self::CancelJob,
        Self::SignalJob,
        Self::ObserveTask,
        Self::ProbeTask,
        Self::DeliverWebhook,
        Self::Sweep,
    ];

    /// The name in the state machine, in deployments and in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProvisionTask => "provision-task",
            Self::AwaitRunning => "await-running",
            Self::InspectSession => "inspect-session",
            Self::AwaitEnd => "await-end",
            Self::StopTask => "stop-task",
            Self::AwaitStopped => "await-stopped",
            Self::CloseSession => "close-session",
            Self::StartSession => "start-session",
            Self::NotifySession => "notify-session",
            Self::FillPool => "fill-pool",
            Self::RunJob => "run-job",
            Self::CancelJob => "cancel-job",
            Self::SignalJob => "signal-job",
            Self::ObserveTask => "observe-task",
            Self::ProbeTask => "probe-task",
            Self::DeliverWebhook => "deliver-webhook",
            Self::Sweep => "sweep",
        }
    }

    /// What makes it run.
    pub const fn trigger(self) -> Trigger {
        match self {
            Self::ProvisionTask
            | Self::AwaitRunning
            | Self::InspectSession
            | Self::AwaitEnd
            | Self::StopTask
            | Self::AwaitStopped
            | Self::CloseSession => Trigger::Workflow,
            Self::StartSession | Self::NotifySession | Self::FillPool => {
                Trigger::Message(Lane::Control)
            }
            Self::RunJob | Self::CancelJob | Self::SignalJob => Trigger::Message(Lane::Exec),
            Self::ObserveTask | Self::ProbeTask => Trigger::Message(Lane::TaskEvents),
            Self::DeliverWebhook => Trigger::Message(Lane::Webhooks),
            Self::Sweep => Trigger::Schedule,
        }
    }

    /// Who works a message off, and with what input.
    pub fn of_message(message: &Message) -> (Self, Value) {
        match message {
            Message::StartSession { session } => {
                (Self::StartSession, json!({"sessionId": session}))
            }
            Message::NotifySession { session } => {
                (Self::NotifySession, json!({"sessionId": session}))
            }
            Message::FillPool => (Self::FillPool, json!({})),
            Message::RunJob { session } => (Self::RunJob, json!({"sessionId": session})),
            Message::CancelJob { job } => (Self::CancelJob, json!({"jobId": job})),
            Message::SignalJob { job, signal } => {
                (Self::SignalJob, json!({"jobId": job, "signal": signal}))
            }
            Message::TaskEvent { facts } => (Self::ObserveTask, json!(facts)),
            Message::ProbeTask { facts } => (Self::ProbeTask, json!(facts)),
            Message::DeliverWebhook { delivery } => {
                (Self::DeliverWebhook, json!({"deliveryId": delivery}))
            }
        }
    }

    /// Decodes the input, runs the handler, encodes the output.
    pub async fn invoke(self, env: &Env, input: Value) -> Result<Value, HandlerError> {
        let span = tracing::info_span!("handler", name = self.name());
        self.dispatch(env, input).instrument(span).await
    }

    async fn dispatch(self, env: &Env, input: Value) -> Result<Value, HandlerError> {
        match self {
            Self::ProvisionTask => call(input, |i| provision_task::handle(env, i)).await,
            Self::AwaitRunning => call(input, |i| await_running::handle(env, i)).await,
            Self::InspectSession => call(input, |i| inspect_session::handle(env, i)).await,
            Self::AwaitEnd => call(input, |i| await_end::handle(env, i)).await,
            Self::StopTask => call(input, |i| stop_task::handle(env, i)).await,
            Self::AwaitStopped => call(input, |i| await_stopped::handle(env, i)).await,
            Self::CloseSession => call(input, |i| close_session::handle(env, i)).await,
            Self::StartSession => call(input, |i| start_session::handle(env, i)).await,
            Self::NotifySession => call(input, |i| notify_session::handle(env, i)).await,
            Self::FillPool => call(input, |i| fill_pool::handle(env, i)).await,
            Self::RunJob => call(input, |i| run_job::handle(env, i)).await,
            Self::CancelJob => call(input, |i| cancel_job::handle(env, i)).await,
            Self::SignalJob => call(input, |i| signal_job::handle(env, i)).await,
            Self::ObserveTask => call(input, |i| observe_task::handle(env, i)).await,
            Self::ProbeTask => call(input, |i| probe_task::handle(env, i)).await,
            Self::DeliverWebhook => call(input, |i| deliver_webhook::handle(env, i)).await,
            Self::Sweep => call(input, |i| sweep::handle(env, i)).await,
        }
    }
}

impl FromStr for Handler {
    type Err = UnknownHandler;

    fn from_str(name: &str) -> Result<Self, UnknownHandler> {
        Self::ALL.into_iter().find(|handler| handler.name() == name).ok_or(UnknownHandler)
    }
}

async fn call<I, O, F>(input: Value, run: impl FnOnce(I) -> F) -> Result<Value, HandlerError>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O, HandlerError>>,
{
    // The decoder's own words may quote the input, which may be secret.
    let input = serde_json::from_value(input).map_err(|_| {
        HandlerError::new(Code::BadInput, "the input is not what this handler takes")
    })?;
    let output = run(input).await?;
    serde_json::to_value(output).map_err(|error| {
        HandlerError::from_source(Code::Backend, "the output can't be written", error)
    })
}

#[cfg(test)]
mod tests;
