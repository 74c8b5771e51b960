//! `e2e`: the same scenarios in both places, through the API only.
//!
//! `e2e --on local` starts `ephemeral up`. `e2e --on aws` starts AWS's shape: ministack with the real
//! template and the real `bootstrap`, the local Fargate, and a proxy between them that counts calls and
//! injects faults. Whatever it starts is gone when it ends, however it ends.

#![expect(clippy::print_stdout, reason = "its report goes to standard output")]

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

mod api;
mod place;
mod process;
mod scenarios;
mod sink;
mod stage;
mod traces;
mod wait;

use place::Place;
use scenarios::{Needs, Scenario};
use stage::Stage;

/// Runs the end-to-end scenarios against one of the two places.
#[derive(Debug, Parser)]
struct Args {
    /// The place.
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
    /// Let some of all the functions' calls fail, all the time; on aws.
    #[arg(long)]
    storm: bool,
    /// Print the names and end.
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum On {
    Local,
    Aws,
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
    // Whatever comes first: the stage is dropped, and with it all that was started.
    tokio::select! {
        passed = run(&args) => {
            Ok(if passed? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    }
}

async fn run(args: &Args) -> Result<bool> {
    let wanted: Vec<_> = scenarios::all()
        .into_iter()
        .filter(|scenario| {
            args.only.is_empty() || args.only.iter().any(|name| scenario.name.contains(name))
        })
        .collect();
    ensure!(!wanted.is_empty(), "no scenario has such a name; see --list");
    let root = args.root.canonicalize().context("there is no such checkout")?;
    if args.storm {
        wait::be_patient();
    }
    let began = Instant::now();
    let place = match args.on {
        On::Local => Place::local(&root, args.logs.as_deref()).await?,
        On::Aws => Place::aws(&root, args.logs.as_deref(), args.storm).await?,
    };
    println!("e2e on {}: up after {:.1} s", place.name(), began.elapsed().as_secs_f64());
    let (mut passed, mut failed, mut elsewhere) = (0, Vec::new(), 0);
    for scenario in &wanted {
        match one(&place, scenario).await {
            None => elsewhere += 1,
            Some(true) => passed += 1,
            Some(false) => failed.push(scenario.name),
        }
    }
    let audit = place.audit().await;
    if let Err(error) = &audit {
        println!("not over: {error:#}");
    }
    let left = place.leave();
    if let Err(error) = &left {
        println!("not left clean: {error:#}");
    }
    for name in &failed {
        println!("failed: {name}");
    }
    let wall = began.elapsed().as_secs_f64();
    println!("e2e on {}: {elsewhere} only elsewhere, {wall:.0} s", args.on.word());
    println!("{passed} passed, {} failed", failed.len());
    Ok(failed.is_empty() && audit.is_ok() && left.is_ok())
}

/// None: this place has not what it needs.
async fn one(place: &Place, scenario: &Scenario) -> Option<bool> {
    let name = scenario.name;
    if let Needs::Aws(reason) = scenario.needs
        && place.as_aws().is_none()
    {
        println!("  -     {name:34} only on aws: {reason}");
        return None;
    }
    if scenario.calm && place.has_storm() {
        println!("  -     {name:34} not in a storm: it counts calls");
        return None;
    }
    let began = Instant::now();
    let stage = Stage::new(place, name);
    let within = wait::at_most(scenario.within);
    let play = async {
        // Where every call may fail, any scenario may need somebody to look again.
        if place.has_storm() {
            stage.swept((scenario.run)(&stage)).await
        } else {
            (scenario.run)(&stage).await
        }
    };
    let ended = match tokio::time::timeout(within, play).await {
        Ok(ended) => ended,
        Err(_) => Err(anyhow::anyhow!("not done within {} s", within.as_secs())),
    };
    let ended = ended.and(place.calm().await);
    let wall = began.elapsed().as_secs_f64();
    match &ended {
        Ok(()) => println!("  ok    {name:34} {wall:6.1} s"),
        Err(error) => println!("  FAIL  {name:34} {wall:6.1} s  {error:#}"),
    }
    Some(ended.is_ok())
}

impl On {
    const fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Aws => "aws",
        }
    }
}
