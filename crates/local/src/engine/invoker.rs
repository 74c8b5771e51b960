//! Calls the handlers: counts each call, and survives a panic.

use std::{fmt, panic::AssertUnwindSafe, pin::Pin, time::Instant};

use domain::{SessionId, message::Message};
use futures::FutureExt;
use handlers::{Claim, ClaimedJob, Code, Env, HandlerError, Step, Swept};
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
        self.call(step.name(), Box::pin(step.run(&self.env, input))).await
    }

    /// Handles a message.
    pub async fn handle(&self, message: Message) -> Result<(), HandlerError> {
        let name = handlers::handler_of(&message);
        self.call(name, Box::pin(handlers::handle(&self.env, message))).await
    }

    /// Claims the next job of a session.
    pub async fn claim(&self, session: SessionId) -> Result<Claim, HandlerError> {
        let name = handlers::handler_of(&Message::RunJob { session });
        self.call(name, Box::pin(handlers::claim_job(&self.env, session))).await
    }

    /// Follows a claimed job to its end.
    pub async fn follow(&self, job: Box<ClaimedJob>) -> Result<(), HandlerError> {
        let name = handlers::handler_of(&Message::RunJob { session: job.session() });
        self.call(name, Box::pin(job.follow(&self.env))).await
    }

    /// Handles every record that is due.
    pub async fn sweep(&self) -> Result<Swept, HandlerError> {
        self.call(handlers::SWEEP, Box::pin(handlers::sweep(&self.env))).await
    }

    /// A handler that panics has failed like any other: it is safe to repeat. The call is boxed, because
    /// the future of all handlers together is large, and is moved from stack frame to stack frame.
    async fn call<T>(
        &self,
        handler: &'static str,
        call: Pin<Box<impl Future<Output = Result<T, HandlerError>>>>,
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
