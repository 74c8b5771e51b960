//! The Lambda entry points of the handlers, one file per kind of event.

use handlers::{
    Env, HandlerError, Step,
    permissions::{Function, Trigger},
};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

use crate::queue::SqsRedelivery;

mod http;
mod queue;

/// Serves this function until Lambda ends the process. `redelivery` is that of the function's queue.
pub async fn serve(
    function: &Function,
    env: Env,
    redelivery: Option<SqsRedelivery>,
) -> Result<(), lambda_runtime::Error> {
    match function.trigger {
        Trigger::Http => {
            let router = handlers::http::router(env);
            let service = |event: LambdaEvent<http::Event>| http::handle(&router, event.payload);
            lambda_runtime::run(service_fn(service)).await
        }
        Trigger::Queue { .. } => {
            let (env, redelivery) = (&env, redelivery.as_ref());
            let service = async |event: LambdaEvent<queue::Batch>| {
                queue::serve(env, redelivery, event.payload).await
            };
            lambda_runtime::run(service_fn(service)).await
        }
        Trigger::Workflow { step } => {
            let service = |event: LambdaEvent<Value>| run(step, &env, event.payload);
            lambda_runtime::run(service_fn(service)).await
        }
        Trigger::Schedule { .. } => {
            // The event of the schedule contains nothing that the handler needs.
            let service = async |_: LambdaEvent<Value>| {
                handlers::sweep(&env).await.map_err(|error| diagnostic(&error))
            };
            lambda_runtime::run(service_fn(service)).await
        }
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
