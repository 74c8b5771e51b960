//! `e2e`: the same scenarios on one machine and on AWS's shape, through the API only.
//!
//! `e2e --on local` starts `ephemeral up`. `e2e --on aws` starts AWS's shape: ministack with the real
//! template and the real `bootstrap`, the local Fargate, and a proxy between them that counts calls and
//! injects faults. The program ends everything that it started, also when a scenario fails.

#![expect(clippy::print_stdout, reason = "its report goes to standard output")]

use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use futures::{StreamExt, stream};
use tokio::signal::unix::{SignalKind, signal};

mod harness;
mod place;
mod process;
mod scenarios;
mod traces;
mod user;
mod wait;

use harness::Harness;
use place::{Aws, Place};
use scenarios::{Needs, Scenario};

/// Runs the end-to-end scenarios against one of the two places.
#[derive(Debug, Parser)]
struct Args {
    /// The place to run the scenarios in.
    #[arg(long, value_enum)]
    on: On,
    /// Only scenarios whose name contains this; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The checkout; its target/debug has the programs.
    #[arg(long, default_value = ".", value_name = "DIR")]
    root: PathBuf,
    /// Keep the logs of all programs in this directory.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Run the chosen scenarios so often, which finds rare failures.
    #[arg(long, value_name = "N", default_value_t = 1)]
    times: usize,
    /// Let some calls of all functions fail in all scenarios; only with `--on aws`.
    #[arg(long)]
    faults: bool,
    /// How commands reach a shell; only with `--on aws`.
    #[arg(long, value_enum, default_value_t = Transport::Link)]
    transport: Transport,
    /// What tasks run on; only with `--on aws`.
    #[arg(long, value_enum, default_value_t = Capacity::Fargate)]
    capacity: Capacity,
    /// Run no scenario: keep the place up until ^C, to try it by hand.
    #[arg(long, conflicts_with_all = ["only", "faults"])]
    stay: bool,
    /// Print the names of the scenarios and exit.
    #[arg(long)]
    list: bool,
}

/// The number of scenarios that run at the same time.
const AT_ONCE: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum On {
    Local,
    Aws,
}

/// How commands reach a shell on AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// ECS Exec.
    Exec,
    /// A connection that the shell's runner opens.
    Link,
}

/// What tasks run on, on AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Capacity {
    Fargate,
    /// Instances behind capacity providers.
    Ec2,
}

/// The variants of AWS's shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    pub(crate) transport: Transport,
    pub(crate) capacity: Capacity,
    /// Whether calls of all functions fail in all scenarios.
    pub(crate) with_faults: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if args.list {
        scenarios::all().iter().for_each(|scenario| println!("{}", scenario.name));
        return Ok(ExitCode::SUCCESS);
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // In each case the place is dropped, which ends everything that it started.
    tokio::select! {
        passed = run(&args) => {
            Ok(if passed? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    }
}

async fn run(args: &Args) -> Result<bool> {
    let wanted = scenarios::all()
        .into_iter()
        .filter(|scenario| {
            args.only.is_empty() || args.only.iter().any(|name| scenario.name.contains(name))
        })
        .collect::<Vec<_>>()
        .repeat(args.times);
    ensure!(!wanted.is_empty(), "no scenario has this name; hint: --list prints all names");
    let root = args.root.canonicalize().context("there is no such checkout")?;
    if let Some(logs) = &args.logs {
        fs::create_dir_all(logs).context("the directory for logs can't be made")?;
    }
    if args.faults {
        wait::allow_more_time();
    }
    let began = Instant::now();
    let place = match args.on {
        On::Local => Place::local(&root, args.logs.as_deref()).await?,
        On::Aws => {
            let Args { transport, capacity, faults: with_faults, .. } = *args;
            let variant = Variant { transport, capacity, with_faults };
            Place::aws(&root, args.logs.as_deref(), variant).await?
        }
    };
    println!("e2e on {}: up after {:.1} s", place.name(), began.elapsed().as_secs_f64());
    if args.stay {
        return stay(&place).await;
    }
    let count = run_all(&place, &wanted).await;
    let audit = place.audit(!count.failed.is_empty()).await;
    if let Err(error) = &audit {
        println!("open at the end: {error:#}");
    }
    if let Some(aws) = place.as_aws() {
        let calls: u64 = aws.counts().values().flat_map(|service| service.values()).sum();
        println!(
            "the functions made {calls} calls, of which {} failed by fault injection",
            aws.injected()
        );
    }
    let left = place.leave();
    if let Err(error) = &left {
        println!("not cleaned up: {error:#}");
    }
    for name in &count.failed {
        println!("failed: {name}");
    }
    let wall = began.elapsed().as_secs_f64();
    println!("e2e on {}: {} only elsewhere, {wall:.0} s", place.name(), count.elsewhere);
    println!("{} passed, {} failed", count.passed, count.failed.len());
    Ok(count.failed.is_empty() && audit.is_ok() && left.is_ok())
}

/// Prints the environment that `ephemeral` and curl need, and waits for ^C.
async fn stay(place: &Place) -> Result<bool> {
    let visitor = place.user("visitor").await?;
    let (url, token) = visitor.credentials()?;
    println!("\n  export EPHEMERAL_URL={url}\n  export EPHEMERAL_TOKEN={token}\n");
    println!("target/debug/ephemeral reads these two variables; ^C ends the place");
    std::future::pending().await
}

#[derive(Debug, Default)]
struct Count {
    passed: usize,
    failed: Vec<&'static str>,
    /// Scenarios that this place can't run.
    elsewhere: usize,
}

/// Runs the scenarios that can run together, then the others one by one.
async fn run_all(place: &Place, wanted: &[Scenario]) -> Count {
    let (alone, together): (Vec<_>, Vec<_>) =
        wanted.iter().enumerate().partition(|(_, scenario)| scenario.alone);
    let together = stream::iter(together).map(|(run, scenario)| one(place, scenario, run));
    let mut ends: Vec<_> = together.buffer_unordered(AT_ONCE).collect().await;
    for (run, scenario) in alone {
        ends.push(one(place, scenario, run).await);
    }
    let mut count = Count::default();
    for end in ends {
        match end {
            End::Passed => count.passed += 1,
            End::Failed(name) => count.failed.push(name),
            End::Elsewhere => count.elsewhere += 1,
        }
    }
    count
}

/// How a scenario ended.
#[derive(Debug)]
enum End {
    Passed,
    Failed(&'static str),
    /// This place lacks what the scenario needs.
    Elsewhere,
}

async fn one(place: &Place, scenario: &Scenario, run: usize) -> End {
    let name = scenario.name;
    let aws = place.as_aws();
    let elsewhere = match scenario.needs {
        Needs::Aws(reason) if aws.is_none() => Some(("on aws", reason)),
        Needs::Links(reason) if !aws.is_some_and(Aws::has_links) => {
            Some(("with --transport link", reason))
        }
        Needs::Instances(reason) if !aws.is_some_and(Aws::has_instances) => {
            Some(("with --capacity ec2", reason))
        }
        Needs::Either | Needs::Aws(_) | Needs::Links(_) | Needs::Instances(_) => None,
    };
    if let Some((place, reason)) = elsewhere {
        println!("  -     {name:34} only {place}: {reason}");
        return End::Elsewhere;
    }
    if scenario.without_faults && place.has_faults() {
        println!("  -     {name:34} not with --faults: it injects its own faults");
        return End::Elsewhere;
    }
    let began = Instant::now();
    let harness = Harness::new(place, name, run);
    let within = wait::at_most(scenario.within);
    let running = async {
        // With injected faults any scenario may need the sweep.
        if place.has_faults() {
            harness.swept((scenario.run)(&harness)).await
        } else {
            (scenario.run)(&harness).await
        }
    };
    let ended = match tokio::time::timeout(within, running).await {
        Ok(ended) => ended,
        Err(_) => Err(anyhow::anyhow!("not done within {} s", within.as_secs())),
    };
    let ended = if scenario.alone { ended.and(place.reset_faults().await) } else { ended };
    let wall = began.elapsed().as_secs_f64();
    match ended {
        Ok(()) => {
            println!("  ok    {name:34} {wall:6.1} s");
            End::Passed
        }
        Err(error) => {
            println!("  FAIL  {name:34} {wall:6.1} s  {error:#}");
            End::Failed(name)
        }
    }
}
