//! The Lambda entry points of the handlers, one file per kind of event.

use handlers::{Env, Handler, HandlerError};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::{Value, json};

use crate::functions::{Function, Trigger};

mod http;
mod queue;

/// Serves this function until Lambda ends the process.
pub async fn serve(function: &Function, env: Env) -> Result<(), lambda_runtime::Error> {
    match function.trigger {
        Trigger::Http => {
            let router = handlers::http::router(env);
            let service = |event: LambdaEvent<http::Event>| http::handle(&router, event.payload);
            lambda_runtime::run(service_fn(service)).await
        }
        Trigger::Queue { .. } => {
            let service = |event: LambdaEvent<queue::Batch>| queue::handle(&env, event.payload);
            lambda_runtime::run(service_fn(service)).await
        }
        Trigger::Workflow { .. } => {
            let handler: Handler = function.name.parse()?;
            let service = |event: LambdaEvent<Value>| invoke(handler, &env, event.payload);
            lambda_runtime::run(service_fn(service)).await
        }
        Trigger::Schedule { .. } => {
            let handler: Handler = function.name.parse()?;
            // The event of the schedule contains nothing that the handler needs.
            let service = |_: LambdaEvent<Value>| invoke(handler, &env, json!({}));
            lambda_runtime::run(service_fn(service)).await
        }
    }
}

/// Calls a handler. The error type is the failure's code, which the state machine matches by
/// `ErrorEquals`.
async fn invoke(handler: Handler, env: &Env, input: Value) -> Result<Value, Diagnostic> {
    handler.invoke(env, input).await.map_err(|failure| {
        log(handler, &failure);
        Diagnostic {
            error_type: failure.code().name().to_owned(),
            error_message: failure.to_string(),
        }
    })
}

/// Logs a failure with the chain of its sources. No other code logs it.
fn log(handler: Handler, failure: &HandlerError) {
    let code = failure.code().name();
    let failure: &dyn std::error::Error = failure;
    tracing::warn!(handler = handler.name(), code, error = failure, "a handler failed");
}

#[cfg(test)]
mod tests;
