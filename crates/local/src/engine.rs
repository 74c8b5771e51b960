//! Calls the handlers: for messages, for executions, and when something is due.
//!
//! The parts do one thing each and know no time but the clock's. [`Engine::run`] turns them for
//! real; a test turns them by hand with [`Engine::run_until_idle`] and a clock of its own.

use std::{sync::Arc, time::Duration};

use domain::{Timestamp, message::Lane, ports::BackendError};
use handlers::{Code, Env};

use crate::{
    queue::{Received, SqliteQueue},
    store::SqliteStore,
    workflow::AslWorkflow,
};

mod invoker;
mod metrics;
mod run;

pub use invoker::Invoker;
use metrics::Metrics;
pub use run::Running;

/// A message in our hands can't get lost while this process lives, so it need not come again.
const VISIBILITY: Duration = Duration::from_hours(24);

/// Everything that moves by itself.
#[derive(Debug)]
pub struct Engine {
    invoker: Invoker,
    store: Arc<SqliteStore>,
    queue: SqliteQueue,
    workflow: Arc<AslWorkflow>,
}

impl Engine {
    /// `env` must hold these same ports.
    pub fn new(
        env: Env,
        store: Arc<SqliteStore>,
        queue: SqliteQueue,
        workflow: Arc<AslWorkflow>,
    ) -> Self {
        Self { invoker: Invoker::new(env), store, queue, workflow }
    }

    /// The ports that the handlers get.
    pub fn env(&self) -> &Env {
        self.invoker.env()
    }

    /// What was counted so far, in Prometheus' text format.
    pub fn metrics_text(&self) -> Result<String, BackendError> {
        let mut text = String::new();
        let counts = self.store.counts()?;
        metrics::family(&mut text, "ephemeral_sessions", "gauge", "Sessions on record by status.");
        for (status, count) in &counts.sessions {
            metrics::line(&mut text, "ephemeral_sessions", &[("status", status)], count);
        }
        metrics::family(&mut text, "ephemeral_open_jobs", "gauge", "Jobs not over.");
        metrics::line(&mut text, "ephemeral_open_jobs", &[], counts.open_jobs);
        let executions = self.workflow.count();
        metrics::family(&mut text, "ephemeral_executions", "gauge", "Executions not over.");
        metrics::line(&mut text, "ephemeral_executions", &[], executions);
        self.write_queue(&mut text);
        self.invoker.metrics().write(&mut text);
        Ok(text)
    }

    fn write_queue(&self, text: &mut String) {
        const NAME: &str = "ephemeral_queue_messages";
        metrics::family(text, NAME, "gauge", "Messages by lane and state.");
        for lane in Lane::ALL {
            let counts = self.queue.counts(lane, self.env().now());
            let states = [
                ("ready", counts.ready),
                ("delayed", counts.delayed),
                ("in_flight", counts.in_flight),
                ("dead", counts.dead),
            ];
            for (state, count) in states {
                metrics::line(text, NAME, &[("lane", lane.name()), ("state", state)], count);
            }
        }
    }

    /// Does all that is due now, one thing after the other, until nothing is left. Looks at due
    /// records once: those that stay due are left for another time.
    pub async fn run_until_idle(&self) {
        while self.step().await {}
        if self.next_due().is_ok_and(|due| due.is_some_and(|due| due <= self.env().now())) {
            self.sweep().await;
            while self.step().await {}
        }
    }

    /// Does one thing that is due now: goes on with an execution, or works a message off. False if
    /// there is none.
    pub async fn step(&self) -> bool {
        self.workflow.fire();
        if let Some(session) = self.workflow.take() {
            self.workflow.drive(session, &self.invoker).await;
            return true;
        }
        for lane in Lane::ALL {
            let mut received = self.queue.receive(lane, self.env().now(), 1, VISIBILITY);
            if let Some(received) = received.pop() {
                self.work(received).await;
                return true;
            }
        }
        false
    }

    /// When there will be something to do if nothing happens.
    pub fn next_wake(&self) -> Result<Option<Timestamp>, BackendError> {
        let messages = Lane::ALL.into_iter().map(|lane| self.queue.next_visible(lane));
        let others = [self.workflow.next_timer(), self.next_due()?];
        Ok(messages.chain(others).flatten().min())
    }

    /// Looks at the records that are due, and at tasks that nobody owns.
    pub async fn sweep(&self) {
        // The invoker has logged it, and the next sweep looks again.
        let _next_time = self.invoker.sweep().await;
    }

    async fn work(&self, received: Received) {
        let Received { message, attempts, receipt } = received;
        match self.invoker.handle(message).await {
            Ok(()) => self.queue.ack(receipt),
            // It will never be understood any better.
            Err(failure) if failure.code() == Code::BadInput => self.queue.ack(receipt),
            Err(failure) => {
                let reason = failure.to_string();
                self.queue.nack(receipt, self.env().now(), backoff(attempts), &reason);
            }
        }
    }

    fn next_due(&self) -> Result<Option<Timestamp>, BackendError> {
        self.store.next_due()
    }
}

/// 0.2 s, 0.8 s, 3.2 s, 12.8 s.
fn backoff(attempts: u32) -> Duration {
    Duration::from_millis(200) * 4_u32.pow(attempts.saturating_sub(1).min(3))
}

#[cfg(test)]
mod tests;
