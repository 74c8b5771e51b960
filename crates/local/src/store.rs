//! The records in SQLite. A cursor is the id of the last item of a page; one that is not an id of the
//! right kind gives an empty page.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    DeliveryId, JobId, Secret, SessionId, Timestamp, UserId, WarmId,
    command::{Command, Concurrency},
    job::Job,
    ports::{
        BackendError, CommitError, Due, IdempotentResponse, Page, Quota, Store, Stream, Version,
        Versioned, Write,
    },
    session::{Session, Status},
    timeline::Entry,
    user_event::{EventNumber, UserEvent},
    warm::{Kind, Warm},
    webhook::Delivery,
};

use rusqlite::Connection;

use crate::{changes::ChangeListeners, database::Database};

mod answers;
mod capacity;
mod commands;
mod counts;
mod deliveries;
mod due;
mod forget;
mod jobs;
mod leases;
mod migrate;
mod output;
mod owners;
mod record;
mod sessions;
mod slots;
mod timeline;
mod turns;
mod usage;
mod user_events;
mod variables;
mod warm;
mod write;

pub use self::capacity::Capacity;
pub use self::counts::Counts;
use self::write::Prepared;
pub(crate) use self::{
    jobs::version as job_version,
    migrate::move_large_values,
    owners::owner,
    user_events::{last as last_event, of_all_users as all_events},
};

/// The records in the embedded database.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    db: Database,
    listeners: Arc<ChangeListeners>,
    capacity: Option<Capacity>,
}

impl SqliteStore {
    /// The records in this database. `listeners` are notified when a job has changed or a user has a new
    /// event.
    pub const fn new(db: Database, listeners: Arc<ChangeListeners>) -> Self {
        Self { db, listeners, capacity: None }
    }

    /// Limits what sessions may use together.
    pub fn with_capacity(self, capacity: Capacity) -> Self {
        Self { capacity: Some(capacity), ..self }
    }

    /// What sessions use together, and what they may use, if that is limited.
    pub fn usage(&self) -> Result<(Capacity, Option<Capacity>), BackendError> {
        let used = self.db.read("adding up what sessions use", capacity::used)?;
        Ok((used, self.capacity))
    }

    /// Releases the leases of an earlier process's workers and makes all unfinished records due, so that
    /// the first sweep resumes them. Returns the number of records. Call it at the start only, before
    /// any worker runs.
    ///
    /// Deliveries and warm tasks are left as they are: their leases last half a minute at most.
    pub async fn release_leases(&self, now: Timestamp) -> Result<u32, BackendError> {
        self.db.write(move |db| leases::release(db, now), || ()).await
    }

    /// How many records there are.
    pub fn counts(&self) -> Result<Counts, BackendError> {
        self.db.read("counting records", counts::all)
    }

    /// Whether a session waits for its task or for the runner in it.
    pub(crate) fn any_starting(&self) -> Result<bool, BackendError> {
        self.db.read("finding starting sessions", sessions::any_starting)
    }

    /// The earliest time at which a record is due, if there is any.
    pub fn next_due(&self) -> Result<Option<Timestamp>, BackendError> {
        self.db.read("finding the next due record", due::next)
    }
}

/// The command in the record of a job; none if it is an outline.
fn whole_command(job: &Job) -> Option<Command> {
    job.command().filter(|command| !command.is_outline()).cloned()
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        let changed: Vec<(JobId, Version)> = writes.iter().filter_map(write::changed_job).collect();
        let event_owner = write::event_owner(&writes);
        let prepare = |write| Prepared::new(write, self.capacity);
        let mut writes = writes.into_iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
        // A limit is about what is stored before the transaction.
        writes.sort_by_key(|write| !write.is_limit());
        let listeners = Arc::clone(&self.listeners);
        let disk = Arc::clone(self.db.disk());
        let all = move |db: &Connection| writes.iter().try_for_each(|one| one.apply(db, &disk));
        let notify = move || {
            listeners.notify(&changed);
            if let Some(user) = event_owner {
                listeners.notify_user(user);
            }
        };
        self.db.write(all, notify).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Versioned<Session>>, BackendError> {
        self.db.read("reading a session", |db| sessions::find(db, id))
    }

    async fn sessions(
        &self,
        user: &UserId,
        status: Option<Status>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Session>, BackendError> {
        let (user, cursor) = (user.clone(), cursor.map(str::to_owned));
        let page =
            move |db: &Connection| sessions::page(db, &user, status, cursor.as_deref(), limit);
        self.db.read_apart("listing sessions", page).await
    }

    async fn waiting(&self, user: &UserId) -> Result<Vec<Versioned<Session>>, BackendError> {
        let user = user.clone();
        let waiting = move |db: &Connection| sessions::waiting(db, &user);
        self.db.read_apart("listing waiting sessions", waiting).await
    }

    async fn admissible(&self, _: &UserId) -> Result<Vec<Versioned<Session>>, BackendError> {
        self.db.read("listing all waiting sessions", sessions::all_waiting)
    }

    async fn timeline(
        &self,
        session: SessionId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Entry>, BackendError> {
        let entries = move |db: &Connection| timeline::after(db, session, after, limit);
        self.db.read_apart("reading a timeline", entries).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Versioned<Job>>, BackendError> {
        self.db.read("reading a job", |db| jobs::find(db, id))
    }

    async fn command(&self, job: JobId) -> Result<Option<Command>, BackendError> {
        let find = move |db: &Connection| match commands::find(db, job)? {
            Some(command) => Ok(Some(command)),
            // A small command is a part of the record.
            None => Ok(jobs::find(db, job)?.and_then(|read| whole_command(&read.value))),
        };
        self.db.read_apart("reading a command", find).await
    }

    async fn jobs(
        &self,
        session: SessionId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Job>, BackendError> {
        let cursor = cursor.map(str::to_owned);
        let page = move |db: &Connection| jobs::page(db, session, cursor.as_deref(), limit);
        self.db.read_apart("listing jobs", page).await
    }

    async fn open_jobs(
        &self,
        session: SessionId,
        concurrency: Concurrency,
        limit: u32,
    ) -> Result<Vec<Versioned<Job>>, BackendError> {
        let open = move |db: &Connection| jobs::open(db, session, concurrency, limit);
        // This is read before each command. The jobs are few, and their records small.
        self.db.read("listing open jobs", open)
    }

    async fn output(
        &self,
        job: JobId,
        stream: Stream,
        offset: u64,
        limit: u64,
    ) -> Result<Secret<Vec<u8>>, BackendError> {
        let bytes = move |db: &Connection| output::read(db, job, stream, offset, limit);
        self.db.read_apart("reading output", bytes).await
    }

    async fn answer(
        &self,
        user: &UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotentResponse>, BackendError> {
        self.db.read("reading an answer", |db| answers::find(db, user, key, now))
    }

    async fn quota(&self, user: &UserId) -> Result<Quota, BackendError> {
        self.db.read("reading the quota", |db| slots::quota(db, user))
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Versioned<Delivery>>, BackendError> {
        self.db.read("reading a delivery", |db| deliveries::find(db, id))
    }

    async fn deliveries(
        &self,
        user: &UserId,
        session: Option<SessionId>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Delivery>, BackendError> {
        let (user, cursor) = (user.clone(), cursor.map(str::to_owned));
        let page =
            move |db: &Connection| deliveries::page(db, &user, session, cursor.as_deref(), limit);
        self.db.read_apart("listing deliveries", page).await
    }

    async fn user_events(
        &self,
        user: &UserId,
        after: EventNumber,
        limit: u32,
    ) -> Result<Vec<(EventNumber, UserEvent)>, BackendError> {
        let user = user.clone();
        let events = move |db: &Connection| user_events::after(db, &user, after, limit);
        self.db.read_apart("reading events", events).await
    }

    async fn last_event(&self, user: &UserId) -> Result<EventNumber, BackendError> {
        self.db.read("reading the number of the last event", |db| user_events::last(db, user))
    }

    async fn warm(&self, id: WarmId) -> Result<Option<Versioned<Warm>>, BackendError> {
        self.db.read("reading a warm task", |db| warm::find(db, id))
    }

    async fn warm_of(&self, kind: &Kind) -> Result<Vec<Versioned<Warm>>, BackendError> {
        self.db.read("listing warm tasks", |db| warm::of_kind(db, kind))
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, BackendError> {
        self.db.read_apart("listing due records", move |db| due::list(db, now, limit)).await
    }

    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u32, BackendError> {
        self.db.write(move |db| forget::forget(db, before, limit), || ()).await
    }
}

#[cfg(test)]
mod tests;
