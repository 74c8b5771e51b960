//! What one transaction writes, with the events that it causes and the webhook deliveries that it owes.
//!
//! Both are written in the transaction whose change they report, so that no change goes unreported. The
//! message of a delivery is sent afterwards.

use std::time::Duration;

use domain::{
    DeliveryId, EventId, JobId, Secret, Timestamp,
    job::{Finished, Job, Outcome},
    message::Message,
    ports::{BackendError, CommitError, Expect, Version, Write},
    session::{Session, Transition},
    timeline::EventKind,
    user_event::UserEvent,
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
    /// Adds a transition of a session: its record, its timeline entries, its events and its deliveries.
    pub(crate) fn transition(mut self, env: &Env, transition: &Transition, expect: Expect) -> Self {
        let session = &transition.session;
        self.writes.push(Write::Session(Box::new(session.clone()), expect));
        for entry in &transition.entries {
            self.writes.push(Write::Entry(Box::new(entry.clone())));
            if let Some(event) = event_type(entry.kind) {
                let data = view::session_event(env, session);
                self = self.report(env, session, Report { id: entry.id, job: None, event, data });
            }
        }
        self
    }

    /// Adds a job that has finished, with its event and its delivery if the job ran a command.
    pub(crate) fn finished_job(
        mut self,
        env: &Env,
        session: &Session,
        mut job: Finished,
        read: Version,
    ) -> Self {
        if env.policy.jobs_expire {
            // The end that is known now may be moved by an extension.
            let last = session.common().expires_at.max(env.now()) + env.policy.max_ttl;
            job = job.with_expiry(last + env.policy.retention);
        }
        let job = Job::from(job);
        if let (Some(event), Some(_)) = (job.status().event(), job.command()) {
            let id = EventId::from_ulid(env.ids.ulid());
            let data = view::job_event(&job);
            self = self.report(env, session, Report { id, job: Some(job.id()), event, data });
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

    /// Adds an event of the session's owner, and a delivery if the session has an endpoint that wants it.
    fn report(mut self, env: &Env, session: &Session, report: Report) -> Self {
        let Report { id, job, event, data } = report;
        let now = env.now();
        let body = Secret::new(json!({"type": event, "timestamp": now, "data": data}).to_string());
        if session.webhook().is_some_and(|endpoint| endpoint.wants(event)) {
            self = self.deliver(env, session, event, body.clone(), now);
        }
        let event = UserEvent {
            id,
            user: session.user().clone(),
            session: session.id(),
            job,
            event,
            at: now,
            expires_at: now + env.policy.retention,
            body,
        };
        self.write(Write::UserEvent(Box::new(event)))
    }

    fn deliver(
        mut self,
        env: &Env,
        session: &Session,
        event: EventType,
        body: Secret<String>,
        created_at: Timestamp,
    ) -> Self {
        let id = DeliveryId::from_ulid(env.ids.ulid());
        let user = session.user().clone();
        let session = session.id();
        let payload = Payload { id, user, session, event, body, created_at };
        self.writes.push(Write::Delivery(Box::new(Pending::new(payload).into()), Expect::New));
        self.deliveries.push(id);
        self
    }
}

/// What an event and the delivery of it say.
struct Report {
    id: EventId,
    job: Option<JobId>,
    event: EventType,
    data: Value,
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
