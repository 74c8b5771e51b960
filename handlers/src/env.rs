//! All that a handler may touch: the ports, and the rules of the deployment.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, sync::Arc, time::Duration};

use domain::{
    Timestamp,
    cost::Pricing,
    ports::{
        Changes, Clock, Compute, Files, Ids, Processes, Queue, QueueLimits, RunLimits, Shell,
        StorageLimits, Store, Transfers, Webhooks, Workflow, Zstd,
    },
    rate::Rate,
    size::{Network, Size},
    timeline::{Actor, Stamp},
    warm,
};

use crate::Claims;

/// The ports and the rules of this deployment.
#[derive(Clone)]
pub struct Env {
    pub store: Arc<dyn Store>,
    pub queue: Arc<dyn Queue>,
    pub workflow: Arc<dyn Workflow>,
    pub compute: Arc<dyn Compute>,
    pub shell: Arc<dyn Shell>,
    /// The files of shells; `None` where the API has no way to them.
    pub files: Option<Arc<dyn Files>>,
    /// Where the bytes of files wait between clients and shells, in deployments in which requests for files are
    /// jobs; `None` elsewhere.
    pub transfers: Option<Arc<dyn Transfers>>,
    /// Compresses archives by zstd; `None` where they can have gzip only.
    pub zstd: Option<Arc<dyn Zstd>>,
    /// The processes of commands; `None` where the API has no way to shells.
    pub processes: Option<Arc<dyn Processes>>,
    pub webhooks: Arc<dyn Webhooks>,
    pub changes: Arc<dyn Changes>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub policy: Arc<Policy>,
    /// The name of this process in leases.
    pub worker: Arc<str>,
    /// Where the API leaves jobs that it has claimed for the workers; `None` where those are other
    /// processes.
    pub claims: Option<Arc<Claims>>,
}

/// What this deployment allows and prefers.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Sessions that a user may have at once.
    pub max_active_sessions: u32,
    /// Sessions that a user may start in a minute; without limit if absent.
    pub starts_per_minute: Option<NonZeroU32>,
    /// The largest session.
    pub max_size: MaxSize,
    /// Sessions of a user that may wait for a slot.
    pub max_waiting_sessions: u32,
    /// How much a user and a session may store; without limit if absent.
    pub storage: Option<StorageLimits>,
    /// How many commands of a session may be unfinished; without limit if absent.
    pub queue: Option<QueueLimits>,
    /// How many commands of a user and of a session run at once; without limit if absent.
    pub running: Option<RunLimits>,
    /// Whether a command that may run at once is claimed when it is accepted, for the worker that a message
    /// calls: the workers are other processes. Where they are not, there is [`Env::claims`].
    pub claims_by_message: bool,
    /// Whether the request that accepts such a command also posts it to the runner, which reports by itself what
    /// becomes of it. [`Shell::start`] never attaches to a command then.
    pub posts_commands: bool,
    /// The time to live of a session whose start does not set it.
    pub default_ttl: Duration,
    /// The longest time to live that can be requested, from now on; at most [`Policy::MAX_TTL`].
    pub max_ttl: Duration,
    /// The network of a session whose start does not set it.
    pub default_network: Network,
    /// The networks that this deployment does not offer, with the reason that users see.
    pub refused_networks: BTreeMap<Network, String>,
    /// Why commands can't run as root, which users see; `None` where they can.
    pub refused_root: Option<String>,
    /// Why terminals can't be opened, which users see; `None` where they can.
    pub refused_terminals: Option<String>,
    /// Why a start can't bring files, which users see; `None` where it can.
    pub refused_start_files: Option<String>,
    /// The images that can be requested.
    pub images: Vec<String>,
    /// Whether endpoints of webhooks may have the scheme `http` and private addresses.
    pub webhook_allow_private: bool,
    /// Whether a response may be streamed.
    pub streaming: bool,
    /// How long ended sessions are kept.
    pub retention: Duration,
    /// Whether the store removes finished jobs by itself: each when its session would be removed that lived
    /// [`Policy::max_ttl`] longer than its time, as an extension may let it. Otherwise they are removed with
    /// their session.
    pub jobs_expire: bool,
    /// How long a session may live in all, with its extensions; `None` for no limit.
    pub max_lifetime: Option<Duration>,
    /// How long output of a command is gathered before it is stored.
    pub gather_time: Duration,
    /// How long the worker that started a command follows it before another worker takes over.
    pub worker_hold: Duration,
    /// How long each later worker waits for output that does not come; while output comes, it stays for
    /// `worker_hold`.
    pub worker_visit: Duration,
    /// The shortest delay before the next worker takes over.
    pub hand_on_delay: Duration,
    /// The longest delay before the next worker takes over.
    pub hand_on_delay_max: Duration,
    /// How long a task may wait for a place to run before its session ends for lack of capacity. It leaves some
    /// of the time that a session may take until it is ready.
    pub placed_within: Duration,
    /// How often the sweep checks that the task of a ready session still exists.
    pub ready_recheck: Duration,
    /// How many warm tasks to keep of each kind.
    pub warm: Vec<(warm::Kind, u32)>,
    /// Age at which an unclaimed warm task is replaced.
    pub warm_max_age: Duration,
    /// The prices for the cost of a session; `None` if sessions cost nothing.
    pub pricing: Option<Pricing>,
}

/// The largest size of a session in a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxSize {
    /// Units of 1/1024 core.
    pub cpu: u32,
    /// MiB of memory.
    pub memory_mib: u32,
    /// MiB of disk.
    pub disk_mib: u32,
    /// Whether disks are held in memory, so that one has at most half of its session's memory.
    pub disk_in_memory: bool,
}

/// All sizes.
impl Default for MaxSize {
    fn default() -> Self {
        let (cpu, memory_mib, disk_mib) = (u32::MAX, u32::MAX, Size::MAX_DISK_MIB);
        Self { cpu, memory_mib, disk_mib, disk_in_memory: false }
    }
}

impl Policy {
    /// The default of [`Policy::default_ttl`].
    pub const DEFAULT_TTL: Duration = Duration::from_hours(1);
    /// The longest time to live of a session without an extension, and of a command.
    pub const MAX_TTL: Duration = Duration::from_hours(8);
    /// The default of [`Policy::starts_per_minute`].
    pub const STARTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).expect("600 is not zero");
    /// The limits of [`Policy::storage`] on one machine.
    pub const STORAGE: StorageLimits = StorageLimits { user: 8 << 30, session: 1 << 30 };
    /// The limits of [`Policy::queue`] on one machine.
    pub const QUEUE: QueueLimits = QueueLimits { jobs: 1000, bytes: 32 << 20 };
    /// The limits of [`Policy::running`] on one machine.
    pub const RUNNING: RunLimits = RunLimits { user: 128, session: 32 };

    /// How fast a user may start sessions. As many as the quota allows may be started at once.
    pub(crate) fn start_rate(&self) -> Option<Rate> {
        let burst = self.max_active_sessions;
        self.starts_per_minute.map(|tokens| Rate::per_minute(tokens, burst))
    }

    /// The longest time to live that a start can request.
    pub(crate) fn max_start_ttl(&self) -> Duration {
        self.max_lifetime.map_or(self.max_ttl, |lifetime| lifetime.min(self.max_ttl))
    }

    /// The time to live of a session whose start does not set it.
    pub(crate) fn default_start_ttl(&self) -> Duration {
        self.default_ttl.min(self.max_start_ttl())
    }

    /// The delay before the next worker takes over a command that has run for so long. The end of a command
    /// is noticed late by at most a quarter of its duration, or by the shortest delay.
    pub(crate) fn hand_on_delay_after(&self, elapsed: Duration) -> Duration {
        (elapsed / 4).min(self.hand_on_delay_max).max(self.hand_on_delay)
    }
}

/// The rules of a server on one machine.
impl Default for Policy {
    fn default() -> Self {
        Self {
            max_active_sessions: 5,
            starts_per_minute: Some(Self::STARTS_PER_MINUTE),
            max_size: MaxSize::default(),
            max_waiting_sessions: 100,
            storage: Some(Self::STORAGE),
            queue: Some(Self::QUEUE),
            running: Some(Self::RUNNING),
            claims_by_message: false,
            posts_commands: false,
            default_ttl: Self::DEFAULT_TTL,
            max_ttl: Self::MAX_TTL,
            default_network: Network::None,
            refused_networks: BTreeMap::new(),
            refused_root: Some("this deployment does not allow it".to_owned()),
            refused_terminals: None,
            refused_start_files: None,
            images: vec!["default".to_owned()],
            webhook_allow_private: false,
            streaming: true,
            retention: Duration::from_hours(7 * 24),
            jobs_expire: false,
            max_lifetime: None,
            gather_time: Duration::from_millis(50),
            worker_hold: Duration::from_mins(15),
            worker_visit: Duration::from_mins(15),
            hand_on_delay: Duration::ZERO,
            hand_on_delay_max: Duration::ZERO,
            placed_within: Duration::from_mins(8),
            ready_recheck: Duration::from_mins(1),
            warm: Vec::new(),
            warm_max_age: Duration::from_hours(1),
            pricing: None,
        }
    }
}

impl Env {
    /// The present time, by the clock of this deployment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A stamp of this actor at the present time.
    pub fn stamp(&self, actor: Actor) -> Stamp {
        Stamp::new(actor, self.now())
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("worker", &self.worker).finish_non_exhaustive()
    }
}
