//! What one scenario has to play with.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::{api::Api, place::Place};

/// Between two sweeps. The schedule's minute is for those who have time.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// One scenario's view: the place, and users of its own, so that no quota is shared.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) place: &'a Place,
    name: &'static str,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(place: &'a Place, name: &'static str) -> Self {
        Self { place, name }
    }

    /// The user of this scenario.
    pub(crate) async fn user(&self) -> Result<Api> {
        let user = self.place.user(self.name).await?;
        Ok(if self.place.has_storm() { user.patient() } else { user })
    }

    /// Somebody else.
    pub(crate) async fn stranger(&self) -> Result<Api> {
        self.place.user(&format!("{}-stranger", self.name)).await
    }

    /// Waits while somebody looks after what is due more often than the schedule has it.
    pub(crate) async fn swept<T>(&self, waiting: impl Future<Output = Result<T>>) -> Result<T> {
        swept(async || self.place.sweep().await, waiting).await
    }

    /// The session, once it is over, whatever had to be swept for that.
    pub(crate) async fn ended(&self, api: &Api, id: &str, within: Duration) -> Result<Value> {
        self.swept(api.ended(id, within)).await
    }
}

/// Waits, and sweeps again and again meanwhile.
pub(crate) async fn swept<T>(
    sweep: impl AsyncFn() -> Result<()>,
    waiting: impl Future<Output = Result<T>>,
) -> Result<T> {
    let sweeping = async {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            if let Err(error) = sweep().await {
                return error;
            }
        }
    };
    tokio::select! {
        done = waiting => done,
        error = sweeping => Err(error),
    }
}
