//! The one door to the handlers: counts, logs a failure once, and survives a panic.

use std::{error::Error, fmt, panic::AssertUnwindSafe, time::Instant};

use futures::FutureExt;
use handlers::{Code, Env, Handler, HandlerError};
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

    /// Calls a handler. One that panics has failed like any other; it is safe to run again.
    pub async fn invoke(&self, handler: Handler, input: Value) -> Result<Value, HandlerError> {
        let begun = Instant::now();
        let result = AssertUnwindSafe(handler.invoke(&self.env, input)).catch_unwind().await;
        let result = result
            .unwrap_or_else(|_| Err(HandlerError::new(Code::Backend, "the handler panicked")));
        self.metrics.called(handler, begun.elapsed(), result.is_err());
        if let Err(failure) = &result {
            log(handler, failure);
        }
        result
    }
}

fn log(handler: Handler, failure: &HandlerError) {
    let (name, code) = (handler.name(), failure.code().name());
    let error: &dyn Error = failure;
    match failure.code() {
        // Answers that the callers reckon with.
        Code::StopRequested | Code::CapacityUnavailable | Code::Throttled | Code::Conflict => {
            tracing::info!(handler = name, code, error, "{name} answered {code}");
        }
        Code::BadInput | Code::Backend => {
            tracing::warn!(handler = name, code, error, "{name} failed: {code}");
        }
    }
}

impl fmt::Debug for Invoker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invoker").field("env", &self.env).finish_non_exhaustive()
    }
}
