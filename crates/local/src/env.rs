//! The ports and the policy of one machine.

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
    changes::{Bells, LocalChanges},
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

/// No command runs longer, so a worker stays with its job to the end.
const WORKER_HOLD: Duration = Duration::from_hours(24);
/// When the next worker looks at a job that was handed on all the same.
const HAND_ON_DELAY: Duration = Duration::from_secs(1);
/// What a sandbox gets between the polite and the final signal.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The ports with their own types, where the engine needs more than a handler may see.
pub(crate) struct Ports {
    pub(crate) env: Env,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) queue: SqliteQueue,
    pub(crate) workflow: Arc<AslWorkflow>,
    /// Ends when nobody has the ports any more.
    pub(crate) closed: JoinHandle<()>,
}

/// Opens all ports on this database. Takes up what a server before this one left there, and lets go
/// of what its workers held.
pub(crate) async fn open(config: &Config, db: &Database) -> Result<Ports, StartError> {
    let clock = Arc::new(SystemClock);
    let ids = Arc::new(MonotonicIds::default());
    let bells = Arc::new(Bells::default());
    let store = Arc::new(SqliteStore::new(db.clone(), Arc::clone(&bells)));
    store.release_leases(domain::ports::Clock::now(clock.as_ref())).await?;
    let queue = SqliteQueue::open(db.clone(), clock.clone())?;
    let executions = Executions::new(db.clone());
    let workflow = Arc::new(AslWorkflow::open(executions, clock.clone(), ids.clone()).await?);
    let (compute, closed) = open_compute(config, &queue).await?;
    let compute = Arc::new(compute);
    let refused = compute.egress().err().map(|reason| (Network::Egress, reason));
    let policy = Policy { refused_networks: refused.into_iter().collect(), ..policy(config) };
    let env = Env {
        store: store.clone(),
        queue: Arc::new(queue.clone()),
        workflow: workflow.clone(),
        shell: Arc::new(RunnerShell::new(UnixDial::new(compute.clone()), clock.clone())),
        compute,
        webhooks: Arc::new(HttpWebhooks::new(config.webhook_allow_private)),
        changes: Arc::new(LocalChanges::new(db.clone(), bells, clock.clone())),
        clock,
        ids,
        policy: Arc::new(policy),
        // The data directory has one server at a time.
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
    };
    let queue = Arc::new(queue.clone());
    let opened = spawn_blocking(move || SandboxCompute::open(sandboxes, queue)).await;
    Ok(opened
        .map_err(|error| domain::ports::BackendError::new("opening the sandboxes", error))??)
}

/// What this machine allows and prefers.
pub(crate) fn policy(config: &Config) -> Policy {
    let kind = warm::Kind { image: IMAGE.to_owned(), size: Size::DEFAULT, network: Network::None };
    Policy {
        max_active_sessions: config.max_active_sessions,
        refused_networks: [(Network::Egress, "this server gives its shells no network".to_owned())]
            .into(),
        images: vec![IMAGE.to_owned()],
        webhook_allow_private: config.webhook_allow_private,
        retention: config.retention,
        worker_hold: WORKER_HOLD,
        hand_on_delay: HAND_ON_DELAY,
        warm: vec![(kind, config.warm)],
        ..Policy::default()
    }
}
