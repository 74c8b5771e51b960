//! The records, in one DynamoDB table.
//!
//! A record is one item under its id, so reading one is one key read; beside it, under the same
//! partition key, lies what belongs to it. What decides is read from the table itself, consistently:
//! small items point at records where a list decides (a session's open commands, a user's sessions in
//! line, the warm tasks of a kind). The two indexes trail by some milliseconds, so they serve only
//! lists that users look at and what is due, where a hint is enough. See
//! `docs/decisions/0010-one-table.md` for all items, and for what a command costs.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use domain::{
    DeliveryId, JobId, Secret, SessionId, Timestamp, UserId, WarmId,
    command::Concurrency,
    job::Job,
    ports::{
        BackendError, CommitError, Due, IdempotentResponse, Page, Quota, Store, Stream, Versioned,
        Write,
    },
    session::{Session, Status},
    timeline::Entry,
    warm::{Kind, Warm},
    webhook::Delivery,
};

use self::{commit::Writer, fault::Fault, table::Table};

mod commit;
mod deliveries;
mod due;
pub(crate) mod fault;
mod forget;
mod item;
mod jobs;
pub(crate) mod keys;
mod output;
mod pace;
mod plan;
mod record;
mod records;
mod sessions;
mod slots;
mod table;
mod timeline;
mod warm;

/// The records in a table of the form that `infra/table.json` describes.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    table: Table,
    writer: Writer,
}

impl DynamoStore {
    /// The records in the table of this name.
    pub fn new(client: Client, table: String) -> Self {
        let writer = Writer::new(&client, table.clone());
        Self { table: Table { client, name: table }, writer }
    }
}

/// What went wrong on the way to or from the table, in the port's words.
fn failed(action: &'static str) -> impl Fn(Fault) -> BackendError {
    move |fault| BackendError::new(action, fault)
}

fn writing(fault: Fault) -> BackendError {
    failed("writing records")(fault)
}

#[async_trait]
impl Store for DynamoStore {
    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        self.writer.write(plan::items(writes)?).await
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
            let answer: Option<IdempotentResponse> =
                item.as_ref().map(record::decode_plain).transpose()?;
            // The table drops an expired one in its own time.
            Ok(answer.filter(|kept| now < kept.expires_at))
        };
        read.await.map_err(failed("reading an answer"))
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

    async fn warm(&self, id: WarmId) -> Result<Option<Versioned<Warm>>, BackendError> {
        self.table.record(id).await.map_err(failed("reading a warm task"))
    }

    async fn warm_of(&self, kind: &Kind) -> Result<Vec<Versioned<Warm>>, BackendError> {
        warm::of_kind(&self.table, kind).await.map_err(failed("listing warm tasks"))
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, BackendError> {
        due::list(&self.table, now, limit).await.map_err(failed("listing due records"))
    }

    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u32, BackendError> {
        forget::forget(&self.table, before, limit).await.map_err(failed("forgetting records"))
    }
}
