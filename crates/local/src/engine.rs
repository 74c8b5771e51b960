//! Calls the handlers: for messages, for executions, and when records are due.
//!
//! All time is that of the clock's port. [`Engine::run`] drives the engine in real time; a test drives it
//! by [`Engine::run_until_idle`] with a simulated clock.

use std::{sync::Arc, time::Duration};

use domain::{
    DeliveryId, Timestamp, UserId,
    message::{Lane, Message},
    ports::{BackendError, Store},
};
use handlers::{Code, Env};

use crate::{
    queue::{LocalLane, Received, SqliteQueue},
    store::SqliteStore,
    workflow::AslWorkflow,
};

mod invoker;
mod metrics;
mod run;
mod turns;

pub use invoker::Invoker;
use metrics::Metrics;
pub use run::Running;
use turns::{Turn, Turns};

/// The visibility timeout of messages: practically none, because a received message can't get lost while
/// this process lives.
const VISIBILITY: Duration = Duration::from_hours(24);

/// How many webhooks of one user are posted at once: an endpoint may take long to answer.
const MAX_WEBHOOKS_PER_USER: usize = 16;

/// Calls the handlers of a server, for messages, executions and due records.
#[derive(Debug)]
pub struct Engine {
    invoker: Invoker,
    store: Arc<SqliteStore>,
    queue: SqliteQueue,
    workflow: Arc<AslWorkflow>,
    webhook_turns: Turns<Received>,
}

impl Engine {
    /// An engine over these ports, which must be those of `env`.
    pub fn new(
        env: Env,
        store: Arc<SqliteStore>,
        queue: SqliteQueue,
        workflow: Arc<AslWorkflow>,
    ) -> Self {
        let webhook_turns = Turns::new(MAX_WEBHOOKS_PER_USER);
        Self { invoker: Invoker::new(env), store, queue, workflow, webhook_turns }
    }

    /// The ports that the handlers get.
    pub fn env(&self) -> &Env {
        self.invoker.env()
    }

    /// The metrics in the text format of Prometheus.
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
        self.write_capacity(&mut text)?;
        self.write_queue(&mut text);
        self.invoker.metrics().write(&mut text);
        Ok(text)
    }

    /// What sessions use of the host, and what they may use.
    fn write_capacity(&self, text: &mut String) -> Result<(), BackendError> {
        let (used, limit) = self.store.usage()?;
        let families = [
            ("ephemeral_host_used", "What sessions use together by resource.", Some(used)),
            ("ephemeral_host_budget", "What sessions may use together by resource.", limit),
        ];
        for (name, help, amount) in families {
            let Some(amount) = amount else { continue };
            metrics::family(text, name, "gauge", help);
            for (resource, value) in [
                ("memory_mib", amount.memory_mib),
                ("disk_mib", amount.disk_mib),
                ("sessions", amount.sessions),
            ] {
                metrics::line(text, name, &[("resource", resource)], value);
            }
        }
        Ok(())
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

    /// Does all work that is due now, one piece after the other, until none is left. Due records are
    /// swept once: those that are still due afterwards are left for the next call.
    pub async fn run_until_idle(&self) {
        while self.step().await {}
        if self.next_due().is_ok_and(|due| due.is_some_and(|due| due <= self.env().now())) {
            self.sweep().await;
            while self.step().await {}
        }
    }

    /// Does one piece of work that is due now: drives an execution, or handles a message. False if there
    /// is none.
    pub async fn step(&self) -> bool {
        self.workflow.fire();
        if let Some(session) = self.workflow.take() {
            self.workflow.drive(session, &self.invoker).await;
            return true;
        }
        for lane in LocalLane::ALL {
            let mut received = self.queue.receive(lane, self.env().now(), 1, VISIBILITY);
            if let Some(received) = received.pop() {
                self.handle(received).await;
                return true;
            }
        }
        false
    }

    /// When the next work is due, if any is planned.
    pub fn next_wake(&self) -> Result<Option<Timestamp>, BackendError> {
        let messages = LocalLane::ALL.into_iter().map(|lane| self.queue.next_visible(lane));
        let others = [self.workflow.next_timer(), self.next_due()?];
        Ok(messages.chain(others).flatten().min())
    }

    /// Reconciles the records that are due, and the tasks without a record.
    pub async fn sweep(&self) {
        // The invoker has logged a failure, and the next sweep tries again.
        let _next_time = self.invoker.sweep().await;
    }

    /// Handles a message. A webhook may be left to the call that handles another of the same user.
    async fn handle(&self, received: Received) {
        let Some((user, delivery)) = self.webhook(&received.message).await else {
            return self.handle_now(received).await;
        };
        let mut next = match self.webhook_turns.begin(&user, delivery, received) {
            Turn::Now(received) => Some(received),
            Turn::Waits => None,
            Turn::Repeated(received) => return self.queue.ack(received.receipt),
        };
        while let Some(received) = next {
            self.handle_now(received).await;
            next = self.webhook_turns.next(&user);
        }
    }

    /// The delivery that a message is about, and its user.
    async fn webhook(&self, message: &Message) -> Option<(UserId, DeliveryId)> {
        let Message::DeliverWebhook { delivery } = message else { return None };
        // The handler reports a failure of the store.
        let read = self.store.delivery(*delivery).await.ok()??;
        Some((read.value.payload().user.clone(), *delivery))
    }

    async fn handle_now(&self, received: Received) {
        let Received { message, attempts, receipt } = received;
        match self.invoker.handle(message).await {
            Ok(()) => self.queue.ack(receipt),
            // Another attempt would fail in the same way.
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

/// The delay before the next attempt: 0.2 s, 0.8 s, 3.2 s, then 12.8 s.
fn backoff(attempts: u32) -> Duration {
    Duration::from_millis(200) * 4_u32.pow(attempts.saturating_sub(1).min(3))
}

#[cfg(test)]
mod tests;
