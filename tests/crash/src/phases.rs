//! The crash test in named phases: start under kills, load, kill and restart, drain, audit.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use adapters::clock::SystemClock;
use anyhow::Result;
use client::WebhookSink;
use domain::ports::Clock as _;
use fastrand::Rng;
use testkit::Invariant;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{Args, api::Api, audit, deployment::Deployment, host, load::Load, records::Records};

/// Sessions that must live through all rounds.
const KEPT_SESSIONS: usize = 2;
const QUOTA: u64 = 7;
/// Kills of the server before its first complete start.
const START_UP_KILLS: u32 = 5;
/// Kills during one recovery at most.
const MAX_RECOVERY_KILLS: u32 = 3;
/// Time limit for the work that the clients have begun when the last round ends.
const FINISH_WITHIN: Duration = Duration::from_mins(4);
/// How many of 100 webhook calls are refused when they arrive for the first time.
const REFUSED_PERCENT: u32 = 20;

/// Runs all phases; true if every invariant holds.
pub(crate) async fn run(args: &Args, program: PathBuf) -> Result<bool> {
    let mut run = Run::new(args, program).await?;
    run.kill_during_start_up().await?;
    let kept = run.start_kept_sessions().await;
    let clients = run.start_clients(args.clients);
    for round in 1..=args.rounds {
        run.kill_under_load(round).await?;
    }
    run.finish_clients(clients).await;
    run.release_kept_sessions(&kept).await;
    audit::drain(&run.load).await?;
    audit::audit(&run.load, &run.sink).await?;
    run.audit_after_restart().await?;
    run.audit_host_after_stop().await?;
    Ok(run.report())
}

/// What all phases share.
struct Run {
    began: Instant,
    rng: Rng,
    deployment: Deployment,
    sink: WebhookSink,
    load: Arc<Load>,
    records: Records,
}

impl Run {
    async fn new(args: &Args, program: PathBuf) -> Result<Self> {
        let seed = args.seed.unwrap_or_else(seed_of_clock);
        println!("crash: seed {seed}, {} rounds, {} clients", args.rounds, args.clients);
        let mut rng = Rng::with_seed(seed);
        let (quota, warm) = (QUOTA.to_string(), args.warm.to_string());
        let options = ["--quota", &quota, "--warm", &warm, "--log", "warn"];
        let deployment = Deployment::new(program, &options, args.log.clone())?;
        let mut refusals = rng.fork();
        let sink = WebhookSink::refusing(move |call, earlier| {
            let is_first = !earlier.iter().any(|other| other.id == call.id);
            is_first && refusals.u32(..100) < REFUSED_PERCENT
        })
        .await?;
        let mark = format!("crash-{}-{seed}", std::process::id());
        let api = Api::new(deployment.server())?;
        let load = Arc::new(Load::new(api, mark, sink.url().to_owned(), QUOTA));
        let (began, records) = (Instant::now(), Records::default());
        Ok(Self { began, rng, deployment, sink, load, records })
    }

    /// Kills the server while it creates its data directory, then starts it completely.
    async fn kill_during_start_up(&mut self) -> Result<()> {
        for _ in 0..START_UP_KILLS {
            self.deployment.launch()?;
            self.sleep_up_to(120).await;
            self.kill()?;
        }
        self.deployment.launch()?;
        self.deployment.listening().await
    }

    async fn start_kept_sessions(&mut self) -> Vec<(String, String)> {
        let mut kept = Vec::new();
        for _ in 0..KEPT_SESSIONS {
            kept.extend(self.load.keep(&mut self.rng).await);
        }
        kept
    }

    fn start_clients(&mut self, count: usize) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for _ in 0..count {
            clients.spawn(Arc::clone(&self.load).client(self.rng.fork()));
        }
        clients.spawn(Arc::clone(&self.load).watch());
        clients
    }

    /// One round: load, the end of the server, mostly by SIGKILL, and a restart that may be killed too.
    async fn kill_under_load(&mut self, round: u32) -> Result<()> {
        let span = Duration::from_millis(self.rng.u64(200..2500));
        sleep(span).await;
        let signal = if self.rng.f64() < 0.15 { "SIGTERM" } else { "SIGKILL" };
        if signal == "SIGTERM" {
            self.deployment.stop().await?;
            self.check_records()?;
        } else {
            self.kill()?;
        }
        if self.rng.f64() < 0.3 {
            self.kill_a_shell();
        }
        let (recovery_kills, recovery) = self.restart_under_kills().await?;
        let (sessions, runs) = {
            let expected = self.load.model.expected();
            (expected.sessions.len(), expected.runs.len())
        };
        println!(
            "  round {round:>3}: {signal} after {:>4} ms, {recovery_kills} kills during recovery, \
             back after {:>4} ms; {sessions} sessions, {runs} commands, {} violations",
            span.as_millis(),
            recovery.as_millis(),
            self.load.verdict.count(),
        );
        Ok(())
    }

    /// Kills the shell of some session while no server runs.
    fn kill_a_shell(&mut self) {
        let Some((session, task)) = self.rng.choice(self.records.served()) else { return };
        {
            let mut expected = self.load.model.expected();
            // A session that its client does not know yet may be one that must be kept.
            match expected.sessions.get_mut(session) {
                Some(known) if !known.kept => known.killed = true,
                Some(_) | None => return,
            }
        }
        host::kill(&self.deployment.data_dir(), task);
    }

    /// Starts the server, and kills it now and then during its recovery. Returns the number of kills
    /// and the duration of the last start.
    async fn restart_under_kills(&mut self) -> Result<(u32, Duration)> {
        let mut kills = 0;
        let mut began = Instant::now();
        self.deployment.launch()?;
        while kills < MAX_RECOVERY_KILLS && self.rng.f64() < 0.3 {
            self.sleep_up_to(250).await;
            self.kill()?;
            kills += 1;
            began = Instant::now();
            self.deployment.launch()?;
        }
        self.deployment.listening().await?;
        Ok((kills, began.elapsed()))
    }

    async fn finish_clients(&self, mut clients: JoinSet<()>) {
        self.load.end();
        let all = async { while clients.join_next().await.is_some() {} };
        if timeout(FINISH_WITHIN, all).await.is_err() {
            let evidence = "clients still wait for responses";
            self.load.verdict.violated(Invariant::EveryWaitEnds, evidence);
        }
    }

    async fn release_kept_sessions(&mut self, kept: &[(String, String)]) {
        for session in kept {
            self.load.release(&mut self.rng, session).await;
        }
    }

    /// The records must be the same after one more kill.
    async fn audit_after_restart(&mut self) -> Result<()> {
        self.kill()?;
        self.deployment.launch()?;
        self.deployment.listening().await?;
        audit::audit(&self.load, &self.sink).await
    }

    /// After an orderly stop the host must have the warm shells, and nothing else.
    async fn audit_host_after_stop(&mut self) -> Result<()> {
        if let Some(pid) = self.deployment.pid() {
            let zombies = host::zombies_of(pid);
            self.load.verdict.check(zombies == 0, Invariant::NothingIsLeftOnTheHost, || {
                format!("{zombies} children of the server were not waited for")
            });
        }
        self.deployment.stop().await?;
        self.check_records()?;
        let data_dir = self.deployment.data_dir();
        let warm = self.records.live_tasks();
        let warm = warm.iter().map(|task| host::sandbox_of(&data_dir, task)).collect();
        let traces = host::traces(&data_dir, &self.load.mark, &[]);
        self.check_sandboxes(&warm, &traces);
        if warm.is_empty() {
            self.check_no_traces(&traces);
        } else {
            self.check_traces_of_warm_shells(&warm, &traces);
        }
        Ok(())
    }

    fn check_sandboxes(&self, warm: &BTreeSet<String>, traces: &host::Traces) {
        let verdict = &self.load.verdict;
        let orphans: Vec<_> = traces.sandboxes.difference(warm).collect();
        verdict.check(orphans.is_empty(), Invariant::NoTaskWithoutRecord, || {
            format!("sandboxes without a record: {orphans:?}")
        });
        let missing: Vec<_> = warm.difference(&traces.sandboxes).collect();
        verdict.check(missing.is_empty(), Invariant::NoTaskWithoutRecord, || {
            format!("records of missing sandboxes: {missing:?}")
        });
    }

    fn check_no_traces(&self, traces: &host::Traces) {
        self.load.verdict.check(
            traces.processes.is_empty() && traces.mounts.is_empty() && traces.cgroups.is_empty(),
            Invariant::NothingIsLeftOnTheHost,
            || {
                let host::Traces { processes, mounts, cgroups, .. } = traces;
                format!("processes {processes:?}, mounts {mounts:?}, control groups {cgroups:?}")
            },
        );
    }

    /// Warm shells outlive the server: each has its control groups and one process, the runner.
    fn check_traces_of_warm_shells(&self, warm: &BTreeSet<String>, traces: &host::Traces) {
        let foreign = traces.cgroups.iter().filter(|group| {
            let names = group.components().filter_map(|part| part.as_os_str().to_str());
            let mut tasks = names.filter(|name| name.starts_with("task-"));
            tasks.any(|task| !warm.contains(task))
        });
        let foreign: Vec<_> = foreign.collect();
        let surplus = traces.processes.len().saturating_sub(warm.len());
        self.load.verdict.check(
            foreign.is_empty() && surplus == 0 && traces.mounts.is_empty(),
            Invariant::NothingIsLeftOnTheHost,
            || {
                let (processes, mounts) = (&traces.processes, &traces.mounts);
                format!("processes {processes:?}, mounts {mounts:?}, control groups {foreign:?}")
            },
        );
    }

    /// Prints the counts and the verdict; true if every invariant holds.
    fn report(&self) -> bool {
        let api = &self.load.api;
        println!(
            "  {} requests, {} repeated, {} responses replayed, {} s in all",
            api.requests.load(Relaxed),
            api.repeated.load(Relaxed),
            api.replayed.load(Relaxed),
            self.began.elapsed().as_secs(),
        );
        let errors = self.deployment.errors();
        if let Some(first) = errors.first() {
            println!("  {} errors in the server's log, for example: {first}", errors.len());
        }
        let panics = errors.iter().filter(|line| line.contains("panicked")).count();
        self.load.verdict.check(panics == 0, Invariant::NothingPanics, || {
            format!("{panics} panics in the server's log")
        });
        self.load.verdict.report()
    }

    fn kill(&mut self) -> Result<()> {
        self.deployment.kill()?;
        self.check_records()
    }

    fn check_records(&mut self) -> Result<()> {
        self.records.check(&self.deployment, &self.load)
    }

    async fn sleep_up_to(&mut self, millis: u64) {
        sleep(Duration::from_millis(self.rng.u64(..millis))).await;
    }
}

fn seed_of_clock() -> u64 {
    SystemClock.now().millis().unsigned_abs() % 1_000_000
}
