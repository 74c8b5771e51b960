//! Waits for jobs to change, and for events of users, by polling the table.
//!
//! A Lambda function cannot notify another one of a write, so this polls: with a short delay at first,
//! because most commands are short, then once a second. One poll costs half a read unit.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use domain::{
    JobId, Timestamp, UserId,
    ports::{BackendError, Changes, Clock, Version},
    user_event::EventNumber,
};

use crate::store::{
    error::StoreError,
    keys::{self, Key, VERSION},
    table::Table,
    user_events,
};

/// The first delay between two polls; each further delay is half as long again. A function that waits for 75 ms costs
/// four times as much as a poll.
const FIRST_DELAY: Duration = Duration::from_millis(75);
const MAX_DELAY: Duration = Duration::from_secs(1);

/// Waits for changes of one table.
#[derive(Clone)]
pub struct DynamoChanges {
    table: Table,
    clock: Arc<dyn Clock>,
}

impl DynamoChanges {
    /// Polls the table with this name.
    pub fn new(client: Client, table: String, clock: Arc<dyn Clock>) -> Self {
        Self { table: Table { client, name: table }, clock }
    }

    async fn version(&self, job: JobId) -> Result<Version, StoreError> {
        let call = self.table.client.get_item().table_name(&self.table.name);
        // A read that may be a little old costs half. The caller reads the record itself afterwards.
        let call = call.consistent_read(false);
        let call = call.set_key(Some(Key::record(job).attributes()));
        let call = call.projection_expression("#v").expression_attribute_names("#v", VERSION);
        let item = call.send().await.map_err(|error| StoreError::from_sdk(&error))?.item;
        Ok(Version(item.and_then(|item| keys::number(&item, VERSION)).unwrap_or_default()))
    }
}

/// The delays between the polls of one wait.
struct Polling<'a> {
    clock: &'a dyn Clock,
    until: Timestamp,
    delay: Duration,
}

impl<'a> Polling<'a> {
    const fn until(until: Timestamp, clock: &'a dyn Clock) -> Self {
        Self { clock, until, delay: FIRST_DELAY }
    }

    /// Sleeps before the next poll. False if the time is over.
    async fn goes_on(&mut self) -> bool {
        let left = self.until.since(self.clock.now());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(self.delay.min(left)).await;
        self.delay = MAX_DELAY.min(self.delay + self.delay / 2);
        true
    }
}

#[async_trait]
impl Changes for DynamoChanges {
    async fn job_changed(
        &self,
        job: JobId,
        seen: Version,
        until: Timestamp,
    ) -> Result<(), BackendError> {
        let failed = |error| BackendError::new("waiting for a job", error);
        let mut polling = Polling::until(until, &*self.clock);
        // The caller has just read the record.
        while polling.goes_on().await && self.version(job).await.map_err(failed)? == seen {}
        Ok(())
    }

    async fn event_added(
        &self,
        user: &UserId,
        seen: EventNumber,
        until: Timestamp,
    ) -> Result<(), BackendError> {
        let failed = |error| BackendError::new("waiting for an event", error);
        let mut polling = Polling::until(until, &*self.clock);
        let table = &self.table;
        while user_events::last(table, user).await.map_err(failed)? <= seen
            && polling.goes_on().await
        {}
        Ok(())
    }
}

impl fmt::Debug for DynamoChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoChanges").field("table", &self.table.name).finish_non_exhaustive()
    }
}
