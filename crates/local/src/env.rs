//! Opens the ports, and sets the policy, of a server on one machine.

use std::{sync::Arc, time::Duration};

use adapters::shell::RunnerShell;
use adapters::webhooks::HttpWebhooks;
use domain::{
    size::{Network, Size},
    warm,
};
use handlers::{Env, Policy};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    changes::{ChangeListeners, LocalChanges},
    clock::{MonotonicIds, SystemClock},
    compute::{IMAGE, SandboxCompute},
    config::Config,
    database::Database,
    executions::Executions,
    queue::SqliteQueue,
    server::StartError,
    shell::UnixDial,
    store::SqliteStore,
    workflow::AslWorkflow,
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
    /// Finishes when all clones of the ports are dropped.
    pub(crate) closed: JoinHandle<()>,
}

/// Opens all ports on this database, with the records of the server before this one. The leases of that
/// server's workers are released.
pub(crate) async fn open(config: &Config, db: &Database) -> Result<Ports, StartError> {
    let clock = Arc::new(SystemClock);
    let ids = Arc::new(MonotonicIds::default());
    let listeners = Arc::new(ChangeListeners::default());
    let store = Arc::new(SqliteStore::new(db.clone(), Arc::clone(&listeners)));
    store.release_leases(domain::ports::Clock::now(clock.as_ref())).await?;
    let queue = SqliteQueue::open(db.clone(), clock.clone())?;
    let executions = Executions::new(db.clone());
    let workflow = Arc::new(AslWorkflow::open(executions, clock.clone(), ids.clone()).await?);
    let (compute, closed) = open_compute(config, &queue).await?;
    let compute = Arc::new(compute);
    let refused_network = compute.egress().err().map(|reason| (Network::Egress, reason));
    let policy =
        Policy { refused_networks: refused_network.into_iter().collect(), ..policy(config) };
    let env = Env {
        store: store.clone(),
        queue: Arc::new(queue.clone()),
        workflow: workflow.clone(),
        shell: Arc::new(RunnerShell::new(UnixDial::new(compute.clone()), clock.clone())),
        compute,
        webhooks: Arc::new(HttpWebhooks::new(config.webhook_allow_private)),
        changes: Arc::new(LocalChanges::new(db.clone(), listeners, clock.clone())),
        clock,
        ids,
        policy: Arc::new(policy),
        // Unique, because one server at a time uses the data directory.
        worker: format!("local-{}", std::process::id()).into(),
    };
    Ok(Ports { env, store, queue, workflow, closed })
}

async fn open_compute(
    config: &Config,
    queue: &SqliteQueue,
) -> Result<(SandboxCompute, JoinHandle<()>), StartError> {
    let sandboxes = sandbox::Config {
        root: config.data_dir.join("sandboxes"),
        exe: config.sandbox.exe.clone(),
        runtime: config.sandbox.runtime.clone(),
        image: config.sandbox.image.clone(),
        grace: STOP_GRACE,
        uid_range: config.sandbox.uid_range,
        allow_root: config.sandbox.allow_root,
    };
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
        hand_on_delay: HAND_ON_DELAY,
        warm: vec![(kind, config.warm)],
        ..Policy::default()
    }
}
