//! What the caller asked for when it started the session.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Secret,
    size::{Network, Size},
    warm,
    webhook::Endpoint,
};

/// The wishes that a start came with. Checked by whoever builds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Image name.
    pub image: String,
    /// CPU and memory.
    pub size: Size,
    /// How long it lives once it is ready.
    pub ttl: Duration,
    /// How long it may have nothing to do.
    pub idle_timeout: Option<Duration>,
    /// Variables of every command.
    pub env: Secret<BTreeMap<String, String>>,
    /// The caller's own notes.
    pub metadata: BTreeMap<String, String>,
    /// What it can reach.
    pub network: Network,
    /// Cheaper capacity that can be taken back.
    pub spot: bool,
    /// What happens at the quota.
    pub admission: Admission,
    /// Where events are sent.
    pub webhook: Option<Endpoint>,
}

/// What happens to a start above the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// It is refused.
    Reject,
    /// It waits in order.
    Queue,
}

impl Spec {
    /// The kind of warm task that could serve this session.
    pub fn warm_kind(&self) -> warm::Kind {
        warm::Kind { image: self.image.clone(), size: self.size, network: self.network }
    }
}
