//! What a start request asks for.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Secret,
    file::NewFile,
    size::{Network, Size},
    warm,
    webhook::Endpoint,
};

/// What a start request asks for. Its values were checked by the code that builds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Image name.
    pub image: String,
    /// CPU and memory.
    pub size: Size,
    /// How long the session lives once it is ready.
    pub ttl: Duration,
    /// How long the session may be idle before it ends; without limit if absent.
    pub idle_timeout: Option<Duration>,
    /// Environment variables of every command.
    pub env: Secret<BTreeMap<String, String>>,
    /// The caller's own labels; never interpreted.
    pub metadata: BTreeMap<String, String>,
    /// What the session can reach over the network.
    pub network: Network,
    /// Whether to prefer cheaper capacity that the provider can take back (Fargate Spot).
    pub spot: bool,
    /// What happens to the request above the quota.
    pub admission: Admission,
    /// Where webhooks are sent; none are sent if absent.
    pub webhook: Option<Endpoint>,
    /// The files that are written before the session is ready. They are dropped then.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub files: Secret<Vec<NewFile>>,
}

fn is_empty(files: &Secret<Vec<NewFile>>) -> bool {
    files.expose().is_empty()
}

/// What happens to a start request above the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// It is rejected.
    Reject,
    /// It waits for a slot, in order of arrival.
    Queue,
}

impl Spec {
    /// The kind of warm task that can serve this session.
    pub fn warm_kind(&self) -> warm::Kind {
        warm::Kind { image: self.image.clone(), size: self.size, network: self.network }
    }
}
