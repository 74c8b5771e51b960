//! What one transaction writes, with the webhooks that it owes.

use std::time::Duration;

use domain::{
    DeliveryId, Secret,
    job::{self, Finished, Job},
    message::Message,
    ports::{CommitError, Expect, Version, Write},
    session::{Session, Transition},
    timeline::EventKind,
    webhook::{EventType, Payload, Pending},
};
use serde_json::{Value, json};

use crate::{Env, HandlerError, notification, view};

/// Writes that succeed or fail together. A delivery is part of the transaction that owes it.
#[derive(Default)]
pub(crate) struct Batch {
    writes: Vec<Write>,
    deliveries: Vec<DeliveryId>,
}

impl Batch {
    /// Adds a transition of a session: record, timeline and webhooks.
    pub(crate) fn transition(mut self, env: &Env, transition: &Transition, expect: Expect) -> Self {
        self.writes.push(Write::Session(Box::new(transition.session.clone()), expect));
        for entry in &transition.entries {
            self.writes.push(Write::Entry(Box::new(entry.clone())));
            if let Some(event) = event_of(entry.kind) {
                let data = view::session_event(env, &transition.session);
                self = self.owe(env, &transition.session, event, data);
            }
        }
        self
    }

    /// Adds the end of a job, with its webhook if it ran a command.
    pub(crate) fn finished(
        mut self,
        env: &Env,
        session: &Session,
        job: Finished,
        read: Version,
    ) -> Self {
        let job = Job::from(job);
        if let (Some(event), Some(_)) = (job.status().event(), job.command()) {
            self = self.owe(env, session, event, view::job_event(&job));
        }
        self.write(Write::Job(Box::new(job), Expect::At(read)))
    }

    /// Adds any other write.
    pub(crate) fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Writes it all, then rings for the webhooks.
    pub(crate) async fn commit(self, env: &Env) -> Result<(), CommitError> {
        // All of it may have been done before, by whoever was here first.
        if self.writes.is_empty() {
            return Ok(());
        }
        env.store.commit(self.writes).await?;
        for delivery in self.deliveries {
            notification::send(env, Message::DeliverWebhook { delivery }, Duration::ZERO).await;
        }
        Ok(())
    }

    /// Like [`Batch::commit`]; false if somebody else was faster, so that nothing was written.
    pub(crate) async fn put(self, env: &Env) -> Result<bool, HandlerError> {
        match self.commit(env).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn owe(mut self, env: &Env, session: &Session, event: EventType, data: Value) -> Self {
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

fn event_of(what: EventKind) -> Option<EventType> {
    match what {
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
        | EventKind::Draining
        | EventKind::StopRequested
        | EventKind::TaskFound
        | EventKind::StopSent
        | EventKind::TaskStopped => None,
    }
}

/// Adds the end of a session's start or stop job, unless it has ended before.
pub(crate) async fn finish_job(
    env: &Env,
    batch: Batch,
    session: &Session,
    job: domain::JobId,
    outcome: job::Outcome,
) -> Result<Batch, domain::ports::BackendError> {
    let Some(read) = env.store.job(job).await? else { return Ok(batch) };
    Ok(match read.value {
        Job::Queued(queued) => {
            batch.finished(env, session, queued.end(outcome, env.now()), read.version)
        }
        Job::Running(_) | Job::Finished(_) => batch,
    })
}
