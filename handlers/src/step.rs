//! The states of the session's state machine, `statemachine/session.asl.json`.

use std::str::FromStr;

use domain::SessionId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Code, Env, HandlerError, await_end, await_running, close_session, inspect_session,
    provision_task, stop_task,
};

macro_rules! steps {
    ($($step:ident => $module:ident, $name:literal;)*) => {
        /// A handler that a state of the state machine calls.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Step {
            $($step,)*
        }

        impl Step {
            /// All steps.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$step),*];

            /// The name in deployments, logs and metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)*
                }
            }

            /// The name in the definition of the state machine, where it stands as `${...}`.
            pub const fn placeholder(self) -> &'static str {
                match self {
                    $(Self::$step => stringify!($step),)*
                }
            }

            async fn dispatch(self, env: &Env, input: Value) -> Result<Value, HandlerError> {
                match self {
                    $(Self::$step => call(input, |input| $module::handle(env, input)).await,)*
                }
            }
        }
    };
}

steps! {
    ProvisionTask => provision_task, "provision-task";
    AwaitRunning => await_running, "await-running";
    InspectSession => inspect_session, "inspect-session";
    AwaitEnd => await_end, "await-end";
    StopTask => stop_task, "stop-task";
    CloseSession => close_session, "close-session";
}

/// The input of a step that needs no more than the session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionInput {
    pub(crate) session_id: SessionId,
}

/// No step has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no handler of the state machine is named {0:?}")]
pub struct UnknownStepError(pub String);

impl Step {
    /// The definition of the state machine with the names of the steps in the place of `${...}`.
    pub fn fill_in(definition: &str) -> String {
        Self::ALL.into_iter().fold(definition.to_owned(), |text, step| {
            text.replace(&format!("${{{}}}", step.placeholder()), step.name())
        })
    }

    /// Decodes the input, runs the handler, and encodes its output.
    pub async fn run(self, env: &Env, input: Value) -> Result<Value, HandlerError> {
        crate::run(self.name(), self.dispatch(env, input)).await
    }
}

impl FromStr for Step {
    type Err = UnknownStepError;

    fn from_str(name: &str) -> Result<Self, UnknownStepError> {
        let step = Self::ALL.into_iter().find(|step| step.name() == name);
        step.ok_or_else(|| UnknownStepError(name.to_owned()))
    }
}

async fn call<I, O, F>(input: Value, handler: impl FnOnce(I) -> F) -> Result<Value, HandlerError>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O, HandlerError>>,
{
    // The decoder's message may quote the input, which may hold secrets: it is dropped.
    let input = serde_json::from_value(input).map_err(|_| {
        HandlerError::new(Code::BadInput, "the input is not what this handler takes")
    })?;
    let output = handler(input).await?;
    serde_json::to_value(output).map_err(|error| {
        HandlerError::from_source(Code::Backend, "failed to encode the handler's output", error)
    })
}
