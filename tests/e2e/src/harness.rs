//! What one scenario works with.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::{place::Place, user::User};

/// Time between two sweeps; a test does not wait for the schedule of one minute.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// The place, and users of the scenario's own, so that scenarios do not share a quota.
#[derive(Debug)]
pub(crate) struct Harness<'a> {
    pub(crate) place: &'a Place,
    /// The name of the scenario's user.
    name: String,
}

impl<'a> Harness<'a> {
    /// For one run of the scenario with this name.
    pub(crate) fn new(place: &'a Place, name: &str, run: usize) -> Self {
        Self { place, name: format!("{name}-{run}") }
    }

    /// The user of this scenario.
    pub(crate) async fn user(&self) -> Result<User> {
        let user = self.place.user(&self.name).await?;
        Ok(if self.place.has_faults() { user.retrying() } else { user })
    }

    /// Another user.
    pub(crate) async fn stranger(&self) -> Result<User> {
        self.place.user(&format!("{}-stranger", self.name)).await
    }

    /// Waits, and sweeps meanwhile more often than the schedule does.
    pub(crate) async fn swept<T>(&self, waiting: impl Future<Output = Result<T>>) -> Result<T> {
        swept(async || self.place.sweep().await, waiting).await
    }

    /// Waits for the end of the session, and sweeps meanwhile.
    pub(crate) async fn ended(&self, api: &User, id: &str, within: Duration) -> Result<Value> {
        self.swept(api.ended(id, within)).await
    }
}

/// Waits, and sweeps meanwhile.
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
