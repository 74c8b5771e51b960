//! Calls the handlers: for messages, for executions, and when records are due.
//!
//! All time is that of the clock's port. [`Engine::run`] drives the engine in real time; a test drives it
//! by [`Engine::run_until_idle`] with a simulated clock.

use std::{sync::Arc, time::Duration};

use adapters::LogLimit;
use domain::{
    SessionId, Timestamp,
    message::{Lane, Message},
    ports::{BackendError, Queue},
};
use handlers::{Claim, ClaimedJob, Code, Env, HandlerError};
use tokio::sync::Notify;

use crate::{
    queue::{LocalLane, Received, SqliteQueue},
    store::SqliteStore,
    workflow::AslWorkflow,
};

mod invoker;
mod metrics;
mod run;
mod waiting;

pub use invoker::Invoker;
use metrics::Metrics;
pub use run::Running;
use waiting::WaitingSessions;

/// The visibility timeout of messages: practically none, because a received message can't get lost while
/// this process lives.
const VISIBILITY: Duration = Duration::from_hours(24);

/// Calls the handlers of a server, for messages, executions and due records.
#[derive(Debug)]
pub struct Engine {
    invoker: Invoker,
    store: Arc<SqliteStore>,
    queue: SqliteQueue,
    workflow: Arc<AslWorkflow>,
    /// Sessions whose jobs wait until their user runs fewer commands.
    waiting: WaitingSessions,
    /// Set while warm tasks are to be started.
    refill: Notify,
    follow_failures: LogLimit<SessionId>,
}

impl Engine {
    /// An engine over these ports, which must be those of `env`.
    pub fn new(
        env: Env,
        store: Arc<SqliteStore>,
        queue: SqliteQueue,
        workflow: Arc<AslWorkflow>,
    ) -> Self {
        Self {
            invoker: Invoker::new(env),
            store,
            queue,
            workflow,
            waiting: WaitingSessions::default(),
            refill: Notify::new(),
            follow_failures: LogLimit::default(),
        }
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

    /// Handles a message as a running engine does: what takes long is returned, or left to another part
    /// of the engine, so that it holds no place of the lane.
    async fn handle_briefly(&self, received: Received) -> Option<Box<ClaimedJob>> {
        if received.message == Message::FillPool {
            self.refill.notify_one();
            self.queue.ack(received.receipt);
            return None;
        }
        let Message::RunJob { session } = received.message else {
            self.handle(received).await;
            return None;
        };
        let before = self.waiting.ends();
        let claim = self.invoker.claim(session).await;
        let claimed = match claim {
            Ok(Claim::Job(job)) => Some(job),
            Ok(Claim::TooManyRunning(user)) => {
                if !self.waiting.add(user, session, before) {
                    self.run_jobs(session).await;
                }
                None
            }
            Ok(Claim::Nothing) => None,
            Err(failure) => {
                self.finish(&received, Err(failure));
                return None;
            }
        };
        self.queue.ack(received.receipt);
        claimed
    }

    /// Follows a command to its end. Then the jobs that waited for a place of its user are tried.
    async fn follow(&self, job: Box<ClaimedJob>) {
        let (session, user) = (job.session(), job.user().clone());
        if let Err(failure) = self.invoker.follow(job).await
            && self.follow_failures.may_log(&session, self.env().now())
        {
            let error: &dyn std::error::Error = &failure;
            tracing::warn!(
                session.id = %session,
                error,
                "failed to follow a command; another attempt follows, and more failures of this session \
                 are not logged for a minute"
            );
        }
        for session in self.waiting.end(&user) {
            self.run_jobs(session).await;
        }
    }

    async fn run_jobs(&self, session: SessionId) {
        let sent = self.queue.send(&Message::RunJob { session }, Duration::ZERO).await;
        // The sweep finds the jobs when they are due.
        let _next_time = sent;
    }

    async fn handle(&self, received: Received) {
        let result = self.invoker.handle(received.message.clone()).await;
        self.finish(&received, result);
    }

    fn finish(&self, received: &Received, result: Result<(), HandlerError>) {
        let Received { attempts, receipt, .. } = received;
        match result {
            Ok(()) => self.queue.ack(*receipt),
            // Another attempt would fail in the same way.
            Err(failure) if failure.code() == Code::BadInput => self.queue.ack(*receipt),
            Err(failure) => {
                let reason = failure.to_string();
                self.queue.nack(*receipt, self.env().now(), backoff(*attempts), &reason);
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
