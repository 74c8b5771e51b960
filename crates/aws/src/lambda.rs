//! The Lambda entry points of the handlers, one file per kind of event.

use std::time::Duration;

use domain::SessionId;
use handlers::{
    Env, HandlerError, Step,
    permissions::{Function, Permission, Trigger},
};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use ulid::Ulid;

use crate::{bus::EventBus, queue::SqsRedelivery};

mod batch_response;
mod http;
mod link;
mod queue;
mod stream;

pub use link::Link;

/// How long the initialization waits for the first connection.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves this function until Lambda ends the process. `redelivery` is that of the function's queue, `link` what
/// the function behind the connections of runners needs.
pub async fn serve(
    function: &Function,
    env: Env,
    redelivery: Option<SqsRedelivery>,
    link: Option<Link>,
) -> Result<(), lambda_runtime::Error> {
    warm_up(&env).await;
    match function.trigger {
        Trigger::Http => {
            let router = handlers::http::router(env);
            let service = |event: LambdaEvent<http::Event>| http::handle(&router, event.payload);
            lambda_runtime::run(service_fn(service)).await
        }
        Trigger::Queue { .. } => {
            let (env, redelivery) = (&env, redelivery.as_ref());
            let service = async |event: LambdaEvent<queue::Batch>| {
                let response = queue::serve(env, redelivery, event.payload).await;
                close_idle(function, env).await;
                response
            };
            lambda_runtime::run(service_fn(service)).await
        }
        Trigger::Link => {
            let link = link.ok_or("this deployment has no connections of runners")?;
            let service =
                |event: LambdaEvent<link::Event>| link::handle(&link, &env, event.payload);
            lambda_runtime::run(service_fn(service)).await
        }
        Trigger::Workflow { step } => {
            let service = |event: LambdaEvent<Value>| run(step, &env, event.payload);
            lambda_runtime::run(service_fn(service)).await
        }
        Trigger::Events { .. } => {
            Err(format!("{} is served by serve_events", function.name).into())
        }
        Trigger::Schedule { .. } => {
            // The event of the schedule contains nothing that the handler needs.
            let service = async |_: LambdaEvent<Value>| {
                let swept = handlers::sweep(&env).await;
                close_idle(function, &env).await;
                swept.map_err(|error| diagnostic(&error))
            };
            lambda_runtime::run(service_fn(service)).await
        }
    }
}

/// Serves the function that publishes the events of users, until Lambda ends the process.
pub async fn serve_events(bus: &EventBus) -> Result<(), lambda_runtime::Error> {
    let service = async |event: LambdaEvent<stream::Batch>| {
        Ok::<_, Diagnostic>(stream::handle(bus, event.payload).await)
    };
    lambda_runtime::run(service_fn(service)).await
}

/// Reads a record that does not exist. Root certificates and the connection to the table are loaded during the
/// initialization, when Lambda gives a function more CPU than later, so that the first request does not wait for them.
async fn warm_up(env: &Env) {
    let nothing = env.store.session(SessionId::from_ulid(Ulid::nil()));
    // The first request reports a table that cannot be reached.
    let _unused = tokio::time::timeout(WARM_UP_TIMEOUT, nothing).await;
}

/// Closes the channels into tasks: Lambda may suspend this process now, and each open channel is a process in the
/// task, which would stay for the 20 minutes of ECS Exec's idle timeout.
async fn close_idle(function: &Function, env: &Env) {
    if function.may(Permission::Shell) {
        env.shell.close_idle().await;
    }
}

async fn run(step: Step, env: &Env, input: Value) -> Result<Value, Diagnostic> {
    step.run(env, input).await.map_err(|error| diagnostic(&error))
}

/// The error type is the error's code, which the state machine matches by `ErrorEquals`.
fn diagnostic(error: &HandlerError) -> Diagnostic {
    Diagnostic { error_type: error.code().name().to_owned(), error_message: error.to_string() }
}

#[cfg(test)]
mod tests;
