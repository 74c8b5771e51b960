//! What one transaction writes, with the webhook deliveries that it owes.
//!
//! A delivery is written in the transaction whose change it reports, so that no change goes
//! unreported. Its message is sent afterwards.

use std::time::Duration;

use domain::{
    DeliveryId, JobId, Secret,
    job::{Finished, Job, Outcome},
    message::Message,
    ports::{BackendError, CommitError, Expect, Version, Write},
    session::{Session, Transition},
    timeline::EventKind,
    webhook::{EventType, Payload, Pending},
};
use serde_json::{Value, json};

use crate::{Env, HandlerError, notification, view};

/// Writes that succeed or fail together.
#[derive(Clone, Default)]
pub(crate) struct Batch {
    writes: Vec<Write>,
    deliveries: Vec<DeliveryId>,
}

impl Batch {
    /// Adds a transition of a session: its record, its timeline entries and its deliveries.
    pub(crate) fn transition(mut self, env: &Env, transition: &Transition, expect: Expect) -> Self {
        let session = &transition.session;
        self.writes.push(Write::Session(Box::new(session.clone()), expect));
        for entry in &transition.entries {
            self.writes.push(Write::Entry(Box::new(entry.clone())));
            if let Some(event) = event_type(entry.kind) {
                self = self.deliver(env, session, event, view::session_event(env, session));
            }
        }
        self
    }

    /// Adds a job that has finished, with its delivery if the job ran a command.
    pub(crate) fn finished_job(
        mut self,
        env: &Env,
        session: &Session,
        job: Finished,
        read: Version,
    ) -> Self {
        let job = Job::from(job);
        if let (Some(event), Some(_)) = (job.status().event(), job.command()) {
            self = self.deliver(env, session, event, view::job_event(&job));
        }
        self.write(Write::Job(Box::new(job), Expect::At(read)))
    }

    /// Adds any other write.
    pub(crate) fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Commits the writes, then sends a message for each delivery. An empty batch succeeds: all of it
    /// was done before.
    pub(crate) async fn commit(self, env: &Env) -> Result<(), CommitError> {
        if self.writes.is_empty() {
            return Ok(());
        }
        env.store.commit(self.writes).await?;
        for delivery in self.deliveries {
            notification::send(env, Message::DeliverWebhook { delivery }, Duration::ZERO).await;
        }
        Ok(())
    }

    /// Like [`Batch::commit`], but returns false on a conflict, in which case nothing was written.
    pub(crate) async fn put(self, env: &Env) -> Result<bool, HandlerError> {
        match self.commit(env).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds a delivery of this event, if the session has an endpoint that wants it.
    fn deliver(mut self, env: &Env, session: &Session, event: EventType, data: Value) -> Self {
        if !session.webhook().is_some_and(|endpoint| endpoint.wants(event)) {
            return self;
        }
        let now = env.now();
        let id = DeliveryId::from_ulid(env.ids.ulid());
        let body = json!({"type": event, "timestamp": now, "data": data}).to_string();
        let payload = Payload {
            id,
            user: session.user().clone(),
            session: session.id(),
            event,
            body: Secret::new(body),
            created_at: now,
        };
        self.writes.push(Write::Delivery(Box::new(Pending::new(payload).into()), Expect::New));
        self.deliveries.push(id);
        self
    }
}

/// The type of webhook that reports an entry of the timeline.
fn event_type(kind: EventKind) -> Option<EventType> {
    match kind {
        EventKind::Ready => Some(EventType::SessionReady),
        EventKind::Expiring => Some(EventType::SessionExpiring),
        EventKind::Stopped => Some(EventType::SessionStopped),
        EventKind::Failed => Some(EventType::SessionFailed),
        EventKind::Accepted
        | EventKind::Admitted
        | EventKind::Provisioning
        | EventKind::PlacementRefused
        | EventKind::TaskPlaced
        | EventKind::WarmTaskClaimed
        | EventKind::TaskRunning
        | EventKind::Extended
        | EventKind::TerminalOpened
        | EventKind::TerminalAttached
        | EventKind::TerminalDetached
        | EventKind::TerminalClosed
        | EventKind::Draining
        | EventKind::StopRequested
        | EventKind::TaskFound
        | EventKind::StopSent
        | EventKind::TaskStopped => None,
    }
}

/// Adds the end of a session's start or stop job, unless that job has finished before.
pub(crate) async fn finish_job(
    env: &Env,
    batch: Batch,
    session: &Session,
    job: JobId,
    outcome: Outcome,
) -> Result<Batch, BackendError> {
    let Some(read) = env.store.job(job).await? else { return Ok(batch) };
    Ok(match read.value {
        Job::Queued(queued) => {
            batch.finished_job(env, session, queued.end(outcome, env.now()), read.version)
        }
        Job::Running(_) | Job::Finished(_) => batch,
    })
}
