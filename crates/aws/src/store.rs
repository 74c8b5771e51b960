//! All records in one DynamoDB table.
//!
//! A record is one item, keyed by its id, so reading a record is one key read; the items that belong to
//! the record have the same partition key. Decisions are based on consistent reads of the table itself:
//! where a decision needs a list (a session's open execute jobs, a user's waiting sessions, the warm
//! tasks of a kind), small pointer items form the list. The two indexes lag by milliseconds, so they serve
//! only lists shown to users and the list of due records, which is a hint.
//! `docs/decisions/0010-one-table.md` lists all items and the cost of a command.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use domain::{
    DeliveryId, JobId, Secret, SessionId, Timestamp, UserId, WarmId,
    command::{Command, Concurrency},
    job::Job,
    ports::{
        BackendError, CommitError, Due, IdempotentResponse, Page, Quota, Store, Stream, Versioned,
        Write,
    },
    session::{Session, Status},
    timeline::Entry,
    user_event::{EventNumber, UserEvent},
    warm::{Kind, Warm},
    webhook::Delivery,
};

use self::{commit::Writer, error::StoreError, session_counters::SessionCounters, table::Table};

mod backoff;
mod commit;
mod compose;
mod deliveries;
mod due;
pub(crate) mod error;
mod forget;
mod item;
mod jobs;
pub(crate) mod keys;
mod output;
mod plan;
mod record;
mod records;
mod session_counters;
mod sessions;
mod slots;
pub(crate) mod table;
mod timeline;
pub(crate) mod user_events;
mod warm;

/// The store in a table with the schema of `infra/table.json`.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    table: Table,
    writer: Writer,
    counters: SessionCounters,
}

impl DynamoStore {
    /// The store in the table with this name.
    pub fn new(client: Client, table: String) -> Self {
        let writer = Writer::new(&client, table.clone());
        Self { table: Table { client, name: table }, writer, counters: SessionCounters::default() }
    }

    /// The same store, in which at most so many sessions exist at once that do not wait, if there is a limit.
    #[must_use]
    pub const fn with_max_sessions(mut self, limit: Option<u32>) -> Self {
        self.counters.limit = limit;
        self
    }
}

/// Wraps a failure of the table in the port's error, with what the store was doing.
fn failed(action: &'static str) -> impl Fn(StoreError) -> BackendError {
    move |error| BackendError::new(action, error)
}

fn writing(error: StoreError) -> BackendError {
    failed("writing records")(error)
}

#[async_trait]
impl Store for DynamoStore {
    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        compose::commit(&self.table, &self.writer, &self.counters, plan::of(writes)?).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Versioned<Session>>, BackendError> {
        self.table.record(id).await.map_err(failed("reading a session"))
    }

    async fn sessions(
        &self,
        user: &UserId,
        status: Option<Status>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Session>, BackendError> {
        let page = sessions::page(&self.table, user, status, cursor, limit).await;
        page.map_err(failed("listing sessions"))
    }

    async fn waiting(&self, user: &UserId) -> Result<Vec<Versioned<Session>>, BackendError> {
        sessions::waiting(&self.table, user).await.map_err(failed("listing waiting sessions"))
    }

    async fn timeline(
        &self,
        session: SessionId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Entry>, BackendError> {
        let entries = timeline::after(&self.table, session, after, limit).await;
        entries.map_err(failed("reading a timeline"))
    }

    async fn job(&self, id: JobId) -> Result<Option<Versioned<Job>>, BackendError> {
        self.table.record(id).await.map_err(failed("reading a job"))
    }

    /// Records are read with their parts, so no job is ever returned with an outline.
    async fn command(&self, job: JobId) -> Result<Option<Command>, BackendError> {
        Ok(self.job(job).await?.and_then(|read| read.value.command().cloned()))
    }

    async fn jobs(
        &self,
        session: SessionId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Job>, BackendError> {
        jobs::page(&self.table, session, cursor, limit).await.map_err(failed("listing jobs"))
    }

    async fn open_jobs(
        &self,
        session: SessionId,
        concurrency: Concurrency,
        limit: u32,
    ) -> Result<Vec<Versioned<Job>>, BackendError> {
        let open = jobs::open(&self.table, session, concurrency, limit).await;
        open.map_err(failed("listing open jobs"))
    }

    async fn session_with_open_jobs(
        &self,
        id: SessionId,
    ) -> Result<Option<(Versioned<Session>, bool)>, BackendError> {
        let read = sessions::with_open_jobs(&self.table, id).await;
        read.map_err(failed("reading a session and its open jobs"))
    }

    async fn has_open_jobs(&self, session: SessionId) -> Result<bool, BackendError> {
        jobs::has_open(&self.table, session).await.map_err(failed("looking for open jobs"))
    }

    async fn output(
        &self,
        job: JobId,
        stream: Stream,
        offset: u64,
        limit: u64,
    ) -> Result<Secret<Vec<u8>>, BackendError> {
        let bytes = output::read(&self.table, job, stream, offset, limit).await;
        bytes.map(Secret::new).map_err(failed("reading output"))
    }

    async fn answer(
        &self,
        user: &UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotentResponse>, BackendError> {
        let read = async {
            let item = self.table.get(&keys::Key::answer(user, key)).await?;
            let response: Option<IdempotentResponse> =
                item.as_ref().map(record::decode_plain).transpose()?;
            // DynamoDB deletes expired items with a delay of up to days.
            Ok(response.filter(|response| now < response.expires_at))
        };
        read.await.map_err(failed("reading an idempotent response"))
    }

    async fn quota(&self, user: &UserId) -> Result<Quota, BackendError> {
        slots::quota(&self.table, user).await.map_err(failed("reading the quota"))
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Versioned<Delivery>>, BackendError> {
        self.table.record(id).await.map_err(failed("reading a delivery"))
    }

    async fn deliveries(
        &self,
        user: &UserId,
        session: Option<SessionId>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Delivery>, BackendError> {
        let page = deliveries::page(&self.table, user, session, cursor, limit).await;
        page.map_err(failed("listing deliveries"))
    }

    async fn user_events(
        &self,
        user: &UserId,
        after: EventNumber,
        limit: u32,
    ) -> Result<Vec<(EventNumber, UserEvent)>, BackendError> {
        let events = user_events::after(&self.table, user, after, limit).await;
        events.map_err(failed("reading events"))
    }

    async fn last_event(&self, user: &UserId) -> Result<EventNumber, BackendError> {
        let last = user_events::last(&self.table, user).await;
        last.map_err(failed("reading the number of the last event"))
    }

    async fn warm(&self, id: WarmId) -> Result<Option<Versioned<Warm>>, BackendError> {
        self.table.record(id).await.map_err(failed("reading a warm task"))
    }

    async fn warm_of(&self, kind: &Kind) -> Result<Vec<Versioned<Warm>>, BackendError> {
        warm::of_kind(&self.table, kind).await.map_err(failed("listing warm tasks"))
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, BackendError> {
        due::list(&self.table, now, limit).await.map_err(failed("listing due records"))
    }

    /// Each entry in the index `due` is billed when it is added, moved and removed.
    fn lists_due_jobs(&self) -> bool {
        false
    }

    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u32, BackendError> {
        forget::forget(&self.table, before, limit).await.map_err(failed("forgetting records"))
    }
}
