//! Waits for jobs to change, by looking at their versions.
//!
//! Nothing tells one function that another wrote, so this asks: soon at first, since most commands are
//! short, then once a second. One look costs one read unit ($0.000000125).

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use domain::{
    JobId, Timestamp,
    ports::{BackendError, Changes, Clock, Version},
};

use crate::store::{
    fault::Fault,
    keys::{self, Key, VERSION},
};

/// The first wait between two looks; each further one is half as long again.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(1);

/// Waits for jobs of a table to change.
#[derive(Clone)]
pub struct DynamoChanges {
    client: Client,
    table: String,
    clock: Arc<dyn Clock>,
}

impl DynamoChanges {
    /// Looks at the jobs in the table of this name.
    pub fn new(client: Client, table: String, clock: Arc<dyn Clock>) -> Self {
        Self { client, table, clock }
    }

    async fn version(&self, job: JobId) -> Result<Version, Fault> {
        let call = self.client.get_item().table_name(&self.table).consistent_read(true);
        let call = call.set_key(Some(Key::record(job).attributes()));
        let call = call.projection_expression("#v").expression_attribute_names("#v", VERSION);
        let item = call.send().await.map_err(|error| Fault::of(&error))?.item;
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
        let mut wait = FIRST;
        loop {
            let now = self.version(job).await;
            if now.map_err(|fault| BackendError::new("waiting for a job", fault))? != seen {
                return Ok(());
            }
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(wait.min(left)).await;
            wait = LONGEST.min(wait + wait / 2);
        }
    }
}

impl fmt::Debug for DynamoChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoChanges").field("table", &self.table).finish_non_exhaustive()
    }
}
