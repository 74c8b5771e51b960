//! Waits for jobs to change by polling their versions.
//!
//! A Lambda function cannot notify another one of a write, so this polls: with a short delay at first,
//! because most commands are short, then once a second. One poll costs one read unit ($0.000000125).

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use domain::{
    JobId, Timestamp,
    ports::{BackendError, Changes, Clock, Version},
};

use crate::store::{
    error::StoreError,
    keys::{self, Key, VERSION},
};

/// The first delay between two polls; each further delay is half as long again.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const MAX_DELAY: Duration = Duration::from_secs(1);

/// Waits for jobs of one table to change.
#[derive(Clone)]
pub struct DynamoChanges {
    client: Client,
    table: String,
    clock: Arc<dyn Clock>,
}

impl DynamoChanges {
    /// Polls the jobs in the table with this name.
    pub fn new(client: Client, table: String, clock: Arc<dyn Clock>) -> Self {
        Self { client, table, clock }
    }

    async fn version(&self, job: JobId) -> Result<Version, StoreError> {
        let call = self.client.get_item().table_name(&self.table).consistent_read(true);
        let call = call.set_key(Some(Key::record(job).attributes()));
        let call = call.projection_expression("#v").expression_attribute_names("#v", VERSION);
        let item = call.send().await.map_err(|error| StoreError::from_sdk(&error))?.item;
        Ok(Version(item.and_then(|item| keys::number(&item, VERSION)).unwrap_or_default()))
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
        let mut delay = FIRST_DELAY;
        loop {
            let version = self.version(job).await;
            if version.map_err(|error| BackendError::new("waiting for a job", error))? != seen {
                return Ok(());
            }
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(delay.min(left)).await;
            delay = MAX_DELAY.min(delay + delay / 2);
        }
    }
}

impl fmt::Debug for DynamoChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoChanges").field("table", &self.table).finish_non_exhaustive()
    }
}
