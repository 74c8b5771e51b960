//! Connections that leave HTTP for another protocol. They count as connections all the same.

use std::sync::Arc;

use super::connections::{Admitted, Serving};
use crate::config::ConnectionLimits;

/// The connection of a request that may be upgraded.
#[derive(Debug, Clone)]
pub(super) struct UpgradableConnection {
    admitted: Arc<Admitted>,
    limits: ConnectionLimits,
}

/// An upgraded connection in use, which is not closed for another one.
#[derive(Debug)]
pub(super) struct Upgraded {
    _serving: Serving,
    _admitted: Arc<Admitted>,
}

impl UpgradableConnection {
    pub(super) const fn new(admitted: Arc<Admitted>, limits: ConnectionLimits) -> Self {
        Self { admitted, limits }
    }

    /// Waits for the client to open the other protocol, under the limits that hold for the header of a
    /// request. `None` if the connection must be closed.
    pub(super) async fn opening<T>(&self, opened: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            opened = opened => Some(opened),
            () = self.admitted.phase.expired(&self.limits) => None,
        }
    }

    /// Counts the connection as one in use.
    pub(super) fn serve(&self) -> Upgraded {
        Upgraded { _serving: self.admitted.phase.serve(), _admitted: Arc::clone(&self.admitted) }
    }
}
