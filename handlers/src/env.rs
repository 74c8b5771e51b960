//! All that a handler may touch.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use domain::{
    Timestamp,
    cost::Pricing,
    ports::{Changes, Clock, Compute, Ids, Queue, Shell, Store, Webhooks, Workflow},
    size::Network,
    timeline::{Actor, Stamp},
    warm,
};

/// The ports and the rules of this deployment.
#[derive(Clone)]
pub struct Env {
    pub store: Arc<dyn Store>,
    pub queue: Arc<dyn Queue>,
    pub workflow: Arc<dyn Workflow>,
    pub compute: Arc<dyn Compute>,
    pub shell: Arc<dyn Shell>,
    pub webhooks: Arc<dyn Webhooks>,
    pub changes: Arc<dyn Changes>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub policy: Arc<Policy>,
    /// Names this process in leases.
    pub worker: Arc<str>,
}

/// What this deployment allows and prefers.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Sessions that a user may have at once.
    pub max_active_sessions: u32,
    /// Sessions of a user that may wait for their turn.
    pub max_waiting_sessions: u32,
    /// What a start without a word on its life gets.
    pub default_ttl: Duration,
    /// The longest life from now on that can be asked for; at most [`Policy::MAX_TTL`].
    pub max_ttl: Duration,
    /// What a start without a word on the network gets.
    pub default_network: Network,
    /// The networks that can't be given, and why.
    pub refused_networks: BTreeMap<Network, String>,
    /// The images that can be asked for.
    pub images: Vec<String>,
    /// Whether webhooks may go to http and private addresses.
    pub webhook_allow_private: bool,
    /// Whether an answer may be held open for a stream.
    pub streaming: bool,
    /// How long ended sessions can be read.
    pub retention: Duration,
    /// How long a worker may hold a job before it hands it on.
    pub worker_hold: Duration,
    /// How long the next worker waits before it looks at a job that was handed on.
    pub hand_on_delay: Duration,
    /// Warm tasks to keep, by kind.
    pub warm: Vec<(warm::Kind, u32)>,
    /// Age at which an unclaimed warm task is replaced.
    pub warm_max_age: Duration,
    /// What sessions are charged by; none where nobody charges.
    pub pricing: Option<Pricing>,
}

impl Policy {
    /// The life of a session that nobody says anything about.
    pub const DEFAULT_TTL: Duration = Duration::from_hours(1);
    /// No session lives longer without being extended, and no command runs longer.
    pub const MAX_TTL: Duration = Duration::from_hours(8);
}

/// What goes without saying.
impl Default for Policy {
    fn default() -> Self {
        Self {
            max_active_sessions: 5,
            max_waiting_sessions: 100,
            default_ttl: Self::DEFAULT_TTL,
            max_ttl: Self::MAX_TTL,
            default_network: Network::None,
            refused_networks: BTreeMap::new(),
            images: vec!["default".to_owned()],
            webhook_allow_private: false,
            streaming: true,
            retention: Duration::from_hours(7 * 24),
            worker_hold: Duration::from_mins(15),
            hand_on_delay: Duration::ZERO,
            warm: Vec::new(),
            warm_max_age: Duration::from_hours(1),
            pricing: None,
        }
    }
}

impl Env {
    /// Now, by this deployment's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// This actor, now.
    pub fn stamp(&self, actor: Actor) -> Stamp {
        Stamp::new(actor, self.now())
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("worker", &self.worker).finish_non_exhaustive()
    }
}
