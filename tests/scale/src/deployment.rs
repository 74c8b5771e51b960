//! The deployment: the handlers, their ports, and what runs them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::Router;
use domain::{
    Timestamp, UserId,
    cost::{Architecture, Pricing},
    ports::Clock as _,
};
use fastrand::Rng;
use futures::FutureExt as _;
use handlers::{Env, Policy};
use testkit::{Gate, MemoryChanges, MemoryStore, MemoryWebhooks, SeqIds, SimClock};
use tokio::time::sleep;

use crate::{
    Transport,
    clock::VirtualClock,
    functions::{Functions, Throttled},
    lanes::Lanes,
    quotas::{Amounts, Quotas},
    runners::Runners,
    tasks::Tasks,
    workflow::Executions,
};

/// How long the table takes for a read and for a transaction.
const READ: Duration = Duration::from_millis(4);
const COMMIT: Duration = Duration::from_millis(15);
/// How long other services take for a call.
pub(crate) const CALL: Duration = Duration::from_millis(25);
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// The whole deployment.
pub(crate) struct Deployment {
    pub(crate) clock: VirtualClock,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) functions: Functions,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) executions: Arc<Executions>,
    pub(crate) env: Env,
    pub(crate) router: Router,
    workers: AtomicU64,
    seed: u64,
}

impl Deployment {
    /// A deployment with these quotas in which nothing has happened.
    pub(crate) fn new(
        quotas: Quotas,
        amounts: Amounts,
        transport: Transport,
        seed: u64,
    ) -> Arc<Self> {
        let clock = VirtualClock::new();
        let quotas = Arc::new(quotas);
        let gate = Arc::new(Gate::default());
        gate.delay(|action| sleep(if action == "committing" { COMMIT } else { READ }).boxed());
        let store = Arc::new(MemoryStore::new(gate.clone()));
        store.hide_due_jobs();
        let tasks = Arc::new(Tasks::new(clock, Arc::clone(&quotas), amounts.cpu, seed));
        let lanes = Arc::new(Lanes::default());
        let executions = Arc::new(Executions::new(clock, Arc::clone(&quotas)));
        let runners =
            Arc::new(Runners::new(clock, transport, Arc::clone(&quotas), Arc::clone(&tasks)));
        // Ids sort by their count.
        let still = SimClock::default();
        let env = Env {
            store: store.clone(),
            queue: lanes.clone(),
            workflow: executions.clone(),
            compute: tasks.clone(),
            shell: runners.clone(),
            files: None,
            transfers: None,
            zstd: None,
            processes: None,
            webhooks: Arc::new(MemoryWebhooks::new(gate.clone())),
            changes: Arc::new(MemoryChanges::new(store.clone(), still.clone(), gate)),
            clock: Arc::new(clock),
            ids: Arc::new(SeqIds::new(still)),
            policy: Arc::new(policy(transport)),
            worker: "w".into(),
            claims: None,
        };
        let deployment = Arc::new(Self {
            clock,
            quotas,
            functions: Functions::new(amounts.concurrency),
            store,
            tasks,
            lanes,
            executions,
            router: handlers::http::router(env.clone()),
            env,
            workers: AtomicU64::new(0),
            seed,
        });
        deployment.lanes.attach(&deployment);
        deployment.executions.attach(&deployment);
        deployment.tasks.attach(&deployment, &runners);
        runners.attach(&deployment);
        tokio::spawn(sweep(Arc::clone(&deployment)));
        deployment
    }

    /// Runs a handler in a function, as a process of its own.
    pub(crate) async fn run<T, F: Future<Output = T>>(
        &self,
        function: &'static str,
        handler: impl FnOnce(Env) -> F,
    ) -> Result<T, Throttled> {
        let number = self.workers.fetch_add(1, Ordering::Relaxed);
        let env = Env { worker: format!("w{number}").into(), ..self.env.clone() };
        self.functions.invoke(function, async { handler(env).await }).await
    }

    /// Random numbers that no other call gets, the same in each run with this seed.
    pub(crate) fn rng(&self) -> Rng {
        let number = self.workers.fetch_add(1, Ordering::Relaxed);
        Rng::with_seed(self.seed.wrapping_mul(1 << 32).wrapping_add(number))
    }

    /// The present virtual time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The user with this number.
pub(crate) fn user(number: usize) -> UserId {
    UserId::new(format!("user-{number}"))
}

/// As `crates/aws` has it by default.
fn policy(transport: Transport) -> Policy {
    Policy {
        claims_by_message: true,
        posts_commands: matches!(transport, Transport::Link),
        storage: None,
        queue: None,
        running: None,
        streaming: false,
        gather_time: Duration::from_secs(1),
        worker_hold: Duration::from_secs(10),
        worker_visit: Duration::from_millis(300),
        hand_on_delay: Duration::from_secs(2),
        hand_on_delay_max: Duration::from_secs(30),
        ready_recheck: Duration::from_mins(10),
        pricing: Some(Pricing { architecture: Architecture::Arm64, public_address: false }),
        ..Policy::default()
    }
}

async fn sweep(deployment: Arc<Deployment>) {
    loop {
        sleep(SWEEP_EVERY).await;
        let deployment = Arc::clone(&deployment);
        tokio::spawn(async move {
            // A failed sweep is not repeated: the next one starts a minute later.
            let _ = deployment
                .run(handlers::SWEEP, async |env| handlers::sweep(&env).await.map(|_| ()))
                .await;
        });
    }
}
