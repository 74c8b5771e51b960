//! Calls the handlers: counts each call, and survives a panic.

use std::{fmt, panic::AssertUnwindSafe, time::Instant};

use domain::message::Message;
use futures::FutureExt;
use handlers::{Code, Env, HandlerError, Step, Swept};
use serde_json::Value;

use super::Metrics;

/// Calls handlers with this deployment's ports.
pub struct Invoker {
    env: Env,
    metrics: Metrics,
}

impl Invoker {
    /// Nothing was counted yet.
    pub fn new(env: Env) -> Self {
        Self { env, metrics: Metrics::default() }
    }

    /// The ports that the handlers get.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// What was counted so far.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Runs a state of the state machine.
    pub async fn run(&self, step: Step, input: Value) -> Result<Value, HandlerError> {
        self.call(step.name(), step.run(&self.env, input)).await
    }

    /// Handles a message.
    pub async fn handle(&self, message: Message) -> Result<(), HandlerError> {
        let name = handlers::handler_of(&message);
        self.call(name, handlers::handle(&self.env, message)).await
    }

    /// Handles every record that is due.
    pub async fn sweep(&self) -> Result<Swept, HandlerError> {
        self.call(handlers::SWEEP, handlers::sweep(&self.env)).await
    }

    /// A handler that panics has failed like any other: it is safe to repeat.
    async fn call<T>(
        &self,
        handler: &'static str,
        call: impl Future<Output = Result<T, HandlerError>>,
    ) -> Result<T, HandlerError> {
        let begun = Instant::now();
        let result = AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(handler, "{handler} panicked; the call will be repeated");
            Err(HandlerError::new(Code::Backend, "the handler panicked"))
        });
        self.metrics.called(handler, begun.elapsed(), result.is_err());
        result
    }
}

impl fmt::Debug for Invoker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invoker").field("env", &self.env).finish_non_exhaustive()
    }
}
