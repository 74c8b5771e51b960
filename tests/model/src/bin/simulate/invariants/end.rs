//! Checks at the end of a run, when all work has ended.

use std::{collections::HashMap, time::Duration};

use domain::{
    SessionId, Timestamp,
    job::{self, Job},
    session::Session,
    task::{TaskFacts, TaskStatus},
    timeline::EventKind,
    webhook::{Delivery, EventType, Outcome},
};
use testkit::Invariant;

use super::Violation;
use crate::{environment::SWEEP, simulation::Simulation};

/// Two sweeps, and the time that a stopping task takes.
const GRACE: Duration = Duration::from_secs(2 * SWEEP.as_secs() + 30);

impl Simulation {
    /// Without faults, no task outlives its session for long.
    pub(crate) fn check_leaks(&mut self, faults_ended_at: Timestamp) {
        let now = self.fakes.now();
        for read in self.fakes.store.all_sessions() {
            let Session::Ended(ended) = &read.value else { continue };
            if now < ended.ended_at().max(faults_ended_at) + GRACE {
                continue;
            }
            let id = read.value.id();
            if let Some(task) = self.tasks_of(id).first() {
                let what = format!("{task:?} outlives {id}");
                self.violate(Violation::new(
                    Invariant::NoTaskOutlivesItsSession,
                    vec![id.to_string()],
                    what,
                ));
            }
        }
    }

    fn tasks_of(&self, id: SessionId) -> Vec<TaskFacts> {
        let name = id.to_string();
        let mut tasks = self.fakes.compute.tasks();
        tasks.retain(|facts| facts.started_by == name && facts.status != TaskStatus::Stopped);
        tasks
    }

    pub(crate) fn check_the_end(&mut self) {
        self.check_jobs();
        self.check_slots();
        self.check_tasks();
        self.check_webhooks();
    }

    fn check_jobs(&mut self) {
        for id in self.users.accepted.clone() {
            let job = self.fakes.store.job_now(id);
            let session = job.as_ref().map(|job| job.common().session.to_string());
            if !matches!(job, Some(Job::Finished(_))) {
                let about = session.into_iter().chain([id.to_string()]).collect();
                let what = format!("{id} is {job:?}");
                self.violate(Violation::new(Invariant::EachJobEndsInOneFinalState, about, what));
            }
        }
        let runs = self.fakes.shell.runs();
        for read in self.fakes.store.all_jobs() {
            let id = read.value.id();
            if let Job::Finished(job) = &read.value
                && matches!(job.outcome(), job::Outcome::Cancelled { exit: None, .. })
                && runs.contains_key(&id)
            {
                let about = vec![read.value.common().session.to_string(), id.to_string()];
                let what = format!("{id} ran, and ended as {:?}", job.outcome());
                self.violate(Violation::new(Invariant::CancelledWithoutExitNeverRan, about, what));
            }
            if !matches!(read.value, Job::Finished(_)) {
                let about = vec![read.value.common().session.to_string()];
                let what = format!("the job is not final: {:?}", read.value);
                self.violate(Violation::new(Invariant::EachJobEndsInOneFinalState, about, what));
            }
        }
    }

    fn check_slots(&mut self) {
        for read in self.fakes.store.all_sessions() {
            let held = self.fakes.store.slots(read.value.user());
            if held > 0 {
                let what = format!("{} still holds {held} slots", read.value.user());
                self.violate(Violation::new(Invariant::QuotaIsNeverExceeded, Vec::new(), what));
            }
        }
    }

    /// All sessions have ended, so only warm tasks may run, and each of those has its open record.
    fn check_tasks(&mut self) {
        let warms = self.fakes.store.all_warms();
        for facts in self.fakes.compute.tasks() {
            let owned = warms.iter().any(|read| {
                read.value.due_at().is_some() && read.value.id().to_string() == facts.started_by
            });
            if facts.status != TaskStatus::Stopped && !owned {
                let about = vec![facts.started_by.clone(), facts.task.to_string()];
                let what = format!("no record owns {facts:?}");
                self.violate(Violation::new(Invariant::NoTaskWithoutRecord, about, what));
            }
        }
    }

    fn check_webhooks(&mut self) {
        let deliveries: Vec<Delivery> =
            self.fakes.store.all_deliveries().into_iter().map(|read| read.value).collect();
        let mut bodies: HashMap<String, String> = HashMap::new();
        for post in self.fakes.webhooks.posts() {
            let body = post.body.expose().clone();
            if *bodies.entry(post.id.clone()).or_insert_with(|| body.clone()) != body {
                let what = format!("{} was sent with two bodies", post.id);
                self.violate(Violation::new(Invariant::EachEventIsDelivered, vec![post.id], what));
            }
        }
        for delivery in &deliveries {
            let id = delivery.payload().id.to_string();
            let fits = match delivery {
                Delivery::Pending(_) => false,
                Delivery::Finished(one) => {
                    one.outcome() != Outcome::Delivered || bodies.contains_key(&id)
                }
            };
            if !fits {
                let what = format!("{delivery:?}");
                self.violate(Violation::new(Invariant::EachEventIsDelivered, vec![id], what));
            }
        }
        for read in self.fakes.store.all_sessions() {
            self.check_events(&read.value, &deliveries);
        }
    }

    /// Each event is among those of its user once, and has a delivery if the owner subscribed to it.
    fn check_events(&mut self, session: &Session, deliveries: &[Delivery]) {
        let id = session.id();
        let happened = self.events_of(session);
        let endpoint = session.webhook();
        let gone = endpoint.is_some_and(|endpoint| endpoint.gone);
        let of_user = self.fakes.store.all_user_events(session.user());
        for event in EventType::ALL {
            let happened = happened.get(&event).copied().unwrap_or(0);
            let wanted = endpoint.is_some_and(|endpoint| endpoint.wants(event));
            let owed = if wanted { happened } else { 0 };
            let payloads = deliveries.iter().map(Delivery::payload);
            let sent = payloads.filter(|one| one.session == id && one.event == event).count();
            let listed = of_user.iter().filter(|one| one.session == id && one.event == event);
            let listed = listed.count();
            if (sent != owed && !gone) || listed != happened {
                let name = event.name();
                let what = format!(
                    "{name} happened {happened} times, is listed {listed} times, and {sent} of {owed} \
                     deliveries exist"
                );
                let about = vec![id.to_string()];
                self.violate(Violation::new(Invariant::EachEventIsDelivered, about, what));
            }
        }
    }

    /// How often each type of event happened in this session.
    fn events_of(&self, session: &Session) -> HashMap<EventType, usize> {
        let entries = self.fakes.store.entries(session.id());
        let of_session = entries.iter().filter_map(|entry| event_of(entry.kind));
        let jobs = self.fakes.store.all_jobs();
        let own = jobs
            .iter()
            .map(|read| &read.value)
            .filter(|job| job.common().session == session.id() && job.command().is_some());
        let mut happened: HashMap<EventType, usize> = HashMap::new();
        for event in of_session.chain(own.filter_map(|job| job.status().event())) {
            *happened.entry(event).or_default() += 1;
        }
        happened
    }
}

const fn event_of(what: EventKind) -> Option<EventType> {
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
