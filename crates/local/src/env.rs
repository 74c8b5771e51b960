//! Opens the ports, and sets the policy, of a server on one machine.

use std::{sync::Arc, time::Duration};

use adapters::shell::{RunnerFiles, RunnerProcesses, RunnerShell};
use adapters::webhooks::HttpWebhooks;
use domain::{
    ports::BackendError,
    size::{Network, Size},
    warm,
};
use handlers::{Env, MaxSize, Policy};
use sandbox::{Budget, Prepare};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    changes::{ChangeListeners, LocalChanges},
    clock::{MonotonicIds, SystemClock},
    compute::{IMAGE, PIDS, SandboxCompute},
    config::{BudgetConfig, Config},
    data_channels::DataChannels,
    database::Database,
    executions::Executions,
    queue::SqliteQueue,
    server::StartError,
    shell::UnixDial,
    store::{Capacity, SqliteStore},
    workflow::AslWorkflow,
    zstd::LibZstd,
};

/// How long a worker follows a job before another one takes over: no command runs longer.
const WORKER_HOLD: Duration = Duration::from_hours(24);
/// How long after a worker has passed a job on the next worker takes it over.
const HAND_ON_DELAY: Duration = Duration::from_secs(1);
/// How long a sandbox may take between SIGTERM and SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The ports; with their own types where the engine needs more than the handlers.
pub(crate) struct Ports {
    pub(crate) env: Env,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) queue: SqliteQueue,
    pub(crate) workflow: Arc<AslWorkflow>,
    /// Connects to runners, for terminals.
    pub(crate) dial: UnixDial,
    pub(crate) channels: DataChannels,
    pub(crate) listeners: Arc<ChangeListeners>,
    /// Finishes when all clones of the ports are dropped.
    pub(crate) closed: JoinHandle<()>,
}

/// Opens all ports on this database, with the records of the server before this one. The leases of that
/// server's workers are released.
pub(crate) async fn open(config: &Config, db: &Database) -> Result<Ports, StartError> {
    let clock = Arc::new(SystemClock);
    let ids = Arc::new(MonotonicIds::default());
    let listeners = Arc::new(ChangeListeners::default());
    let sandboxes = sandboxes(config).await?;
    let budget = sandboxes.budget;
    let queue = SqliteQueue::open(db.clone(), clock.clone())?;
    let (compute, closed) = open_compute(sandboxes, &queue).await?;
    let compute = Arc::new(compute);
    let has_disks = has_disks(&compute).await?;
    let store = SqliteStore::new(db.clone(), Arc::clone(&listeners));
    let store = Arc::new(store.with_capacity(capacity(config, budget, has_disks)));
    store.release_leases(domain::ports::Clock::now(clock.as_ref())).await?;
    let executions = Executions::new(db.clone());
    let workflow = Arc::new(AslWorkflow::open(executions, clock.clone(), ids.clone()).await?);
    let refused_network = compute.egress().err().map(|reason| (Network::Egress, reason));
    let policy = Policy {
        refused_networks: refused_network.into_iter().collect(),
        max_size: max_size(config, budget, has_disks),
        ..policy(config)
    };
    let channels = DataChannels::new(clock.clone(), ids.clone());
    let dial = UnixDial::new(compute.clone(), channels.clone());
    let env = Env {
        store: store.clone(),
        queue: Arc::new(queue.clone()),
        workflow: workflow.clone(),
        shell: Arc::new(RunnerShell::new(dial.clone(), clock.clone())),
        files: Some(Arc::new(RunnerFiles::new(dial.clone()))),
        transfers: None,
        zstd: Some(Arc::new(LibZstd::default())),
        processes: Some(Arc::new(RunnerProcesses::new(dial.clone()))),
        compute,
        webhooks: Arc::new(HttpWebhooks::new(config.webhook_allow_private)),
        changes: Arc::new(LocalChanges::new(db.clone(), listeners.clone(), clock.clone())),
        clock,
        ids,
        policy: Arc::new(policy),
        // Unique, because one server at a time uses the data directory.
        worker: format!("local-{}", std::process::id()).into(),
        claims: Some(Arc::default()),
    };
    Ok(Ports { env, store, queue, workflow, dial, channels, listeners, closed })
}

/// The configuration of the sandboxes.
async fn sandboxes(config: &Config) -> Result<sandbox::Config, StartError> {
    let root = config.data_dir.join("sandboxes");
    let BudgetConfig { memory_mib, disk_mib, pids, .. } = config.budget;
    let dir = root.clone();
    let host = spawn_blocking(move || Budget::of_host(&dir)).await;
    let failed = |error| BackendError::new("reading the limits of this host", error);
    let host = host.map_err(|error| failed(std::io::Error::other(error)))?.map_err(failed)?;
    Ok(sandbox::Config {
        root,
        exe: config.sandbox.exe.clone(),
        runtime: config.sandbox.runtime.clone(),
        image: config.sandbox.image.clone(),
        grace: STOP_GRACE,
        uid_range: config.sandbox.uid_range,
        allow_root: config.sandbox.allow_root,
        egress: config.egress,
        prepare: Some(Prepare { kind: default_kind(), count: config.prepared }),
        budget: Budget {
            memory_mib: memory_mib.unwrap_or(host.memory_mib),
            disk_mib: disk_mib.unwrap_or(host.disk_mib),
            pids: pids.unwrap_or(host.pids),
        },
        end_with_driver: config.end_with_server,
    })
}

/// The kind of a sandbox for a session that asks for nothing in particular.
const fn default_kind() -> sandbox::Kind {
    sandbox::Kind {
        memory_mib: Size::DEFAULT.memory_mib(),
        pids: PIDS,
        disk_mib: Size::DEFAULT.disk_mib(),
        network: sandbox::Network::None,
    }
}

async fn has_disks(compute: &Arc<SandboxCompute>) -> Result<bool, BackendError> {
    let compute = Arc::clone(compute);
    let found = spawn_blocking(move || compute.has_disks()).await;
    found.map_err(|error| BackendError::new("checking the disks of shells", error))
}

/// What sessions may use together: the budget without the warm tasks.
fn capacity(config: &Config, budget: Budget, has_disks: bool) -> Capacity {
    let warm = u64::from(config.warm);
    let disk = budget.disk_mib.saturating_sub(warm * u64::from(Size::DEFAULT.disk_mib()));
    Capacity {
        memory_mib: budget.memory_mib.saturating_sub(warm * u64::from(Size::DEFAULT.memory_mib())),
        disk_mib: if has_disks { disk } else { u64::MAX },
        sessions: (budget.pids / u64::from(PIDS))
            .saturating_sub(warm)
            .min(config.budget.sessions.map_or(u64::MAX, u64::from)),
    }
}

/// The largest session: as configured, and not beyond what there is for all of them.
fn max_size(config: &Config, budget: Budget, has_disks: bool) -> MaxSize {
    let Capacity { memory_mib, disk_mib, .. } = capacity(config, budget, has_disks);
    let at_most = |all: u64| u32::try_from(all).unwrap_or(u32::MAX);
    let none = MaxSize::default();
    let (cpu, memory, disk) =
        config.budget.max_size.unwrap_or((none.cpu, none.memory_mib, Some(none.disk_mib)));
    MaxSize {
        cpu,
        memory_mib: memory.min(at_most(memory_mib)),
        disk_mib: disk.unwrap_or(none.disk_mib).min(at_most(disk_mib)),
        disk_in_memory: !has_disks,
    }
}

async fn open_compute(
    sandboxes: sandbox::Config,
    queue: &SqliteQueue,
) -> Result<(SandboxCompute, JoinHandle<()>), StartError> {
    let queue = Arc::new(queue.clone());
    let opened = spawn_blocking(move || SandboxCompute::open(sandboxes, queue)).await;
    Ok(opened
        .map_err(|error| domain::ports::BackendError::new("opening the sandboxes", error))??)
}

/// The policy of a server with this configuration.
pub(crate) fn policy(config: &Config) -> Policy {
    let kind = warm::Kind { image: IMAGE.to_owned(), size: Size::DEFAULT, network: Network::None };
    Policy {
        max_active_sessions: config.max_active_sessions,
        starts_per_minute: config.starts_per_minute,
        storage: Some(config.storage),
        queue: Some(config.queue),
        running: Some(config.running),
        refused_networks: [(Network::Egress, "this server gives its shells no network".to_owned())]
            .into(),
        refused_root: (!config.sandbox.allow_root)
            .then(|| "this server does not allow it; see `ephemeral up --root`".to_owned()),
        images: vec![IMAGE.to_owned()],
        webhook_allow_private: config.webhook_allow_private,
        retention: config.retention,
        worker_hold: WORKER_HOLD,
        worker_visit: WORKER_HOLD,
        hand_on_delay: HAND_ON_DELAY,
        warm: vec![(kind, config.warm)],
        ..Policy::default()
    }
}
