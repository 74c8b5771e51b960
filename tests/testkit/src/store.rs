//! The store in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::{
    DeliveryId, JobId, SessionId, Timestamp, UserId, WarmId,
    command::Command,
    job::Job,
    ports::{CommitError, IdempotentResponse, Stream, Version, Versioned, Write},
    session::Session,
    timeline::Entry,
    user_event::{EventNumber, UserEvent},
    warm::Warm,
    webhook::Delivery,
};
use parking_lot::Mutex;

use crate::Gate;

mod commit;
mod limits;
mod read;

/// A record after a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Session(Box<Session>),
    Job(Box<Job>),
    Delivery(Box<Delivery>),
    Warm(Box<Warm>),
    Entry(Box<Entry>),
    UserEvent(Box<UserEvent>),
    /// This job's serial turn began or ended.
    Turn {
        session: SessionId,
        job: JobId,
        began: bool,
    },
}

/// Keeps records, and every version of each record.
#[derive(Debug)]
pub struct MemoryStore {
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<SessionId, Versioned<Session>>,
    jobs: BTreeMap<JobId, Versioned<Job>>,
    /// The commands of unfinished jobs.
    commands: BTreeMap<JobId, Command>,
    /// Whether the disk is almost full.
    disk_full: bool,
    deliveries: BTreeMap<DeliveryId, Versioned<Delivery>>,
    warms: BTreeMap<WarmId, Versioned<Warm>>,
    entries: BTreeMap<(SessionId, u32), Entry>,
    user_events: BTreeMap<(UserId, EventNumber), UserEvent>,
    /// The number of each user's last event.
    last_events: HashMap<UserId, EventNumber>,
    output: HashMap<(JobId, Stream), Vec<u8>>,
    answers: HashMap<(UserId, String), IdempotentResponse>,
    slots: HashMap<UserId, u32>,
    starts_full_at: HashMap<UserId, Timestamp>,
    turns: HashMap<SessionId, JobId>,
    /// What all sessions may use together, if they share a host.
    memory_mib: Option<u32>,
    /// Whether what is due is listed without jobs.
    hides_due_jobs: bool,
    history: Vec<Change>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, state: Mutex::default() }
    }

    /// Makes all sessions share a host with this much memory.
    pub fn limit_memory(&self, mib: u32) {
        self.state.lock().memory_mib = Some(mib);
    }

    /// Lists what is due without jobs from now on, as on AWS.
    pub fn hide_due_jobs(&self) {
        self.state.lock().hides_due_jobs = true;
    }

    /// Commits without passing the gate; for fixtures.
    pub fn apply(&self, writes: &[Write]) -> Result<(), CommitError> {
        self.state.lock().commit(writes)
    }

    /// Every version of every record, in the order of the commits.
    pub fn history(&self) -> Vec<Change> {
        self.state.lock().history.clone()
    }

    /// Takes the history since the last call.
    pub fn take_history(&self) -> Vec<Change> {
        std::mem::take(&mut self.state.lock().history)
    }

    /// A session, without passing the gate.
    pub fn session_now(&self, id: SessionId) -> Option<Session> {
        self.state.lock().sessions.get(&id).map(|found| found.value.clone())
    }

    /// A job, without passing the gate.
    pub fn job_now(&self, id: JobId) -> Option<Job> {
        self.state.lock().jobs.get(&id).map(|found| found.value.clone())
    }

    /// A job's version, without passing the gate.
    pub fn job_version(&self, id: JobId) -> Option<Version> {
        self.state.lock().jobs.get(&id).map(|found| found.version)
    }

    /// Lets the disk be almost full, or not any more.
    pub fn set_disk_full(&self, full: bool) {
        self.state.lock().disk_full = full;
    }

    /// All sessions, by id.
    pub fn all_sessions(&self) -> Vec<Versioned<Session>> {
        self.state.lock().sessions.values().cloned().collect()
    }

    /// All jobs, by id.
    pub fn all_jobs(&self) -> Vec<Versioned<Job>> {
        self.state.lock().jobs.values().cloned().collect()
    }

    /// All deliveries, by id.
    pub fn all_deliveries(&self) -> Vec<Versioned<Delivery>> {
        self.state.lock().deliveries.values().cloned().collect()
    }

    /// All warm tasks, by id.
    pub fn all_warms(&self) -> Vec<Versioned<Warm>> {
        self.state.lock().warms.values().cloned().collect()
    }

    /// A session's whole timeline.
    pub fn entries(&self, session: SessionId) -> Vec<Entry> {
        self.state
            .lock()
            .entries
            .range((session, 0)..=(session, u32::MAX))
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    /// All events of a user.
    pub fn all_user_events(&self, user: &UserId) -> Vec<UserEvent> {
        let state = self.state.lock();
        let of_user = state.user_events.iter().filter(|((owner, _), _)| owner == user);
        of_user.map(|(_, event)| event.clone()).collect()
    }

    /// The number of a user's last event, without passing the gate.
    pub fn last_event_now(&self, user: &UserId) -> EventNumber {
        self.state.lock().last_events.get(user).copied().unwrap_or_default()
    }

    /// All stored bytes of an output.
    pub fn stored(&self, job: JobId, stream: Stream) -> Vec<u8> {
        self.state.lock().output.get(&(job, stream)).cloned().unwrap_or_default()
    }

    /// How many sessions of this user hold a slot, by the count and not by the records.
    pub fn slots(&self, user: &UserId) -> u32 {
        self.state.lock().slots.get(user).copied().unwrap_or(0)
    }
}
