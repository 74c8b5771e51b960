//! `crash`: kills the real server again and again under load, then checks the invariants of the
//! lifecycle against its records, the observations of commands and of the webhook receiver, and the host.
//!
//! `crash --rounds 20 --seed 7` is the test; `crash --recovery` measures how soon a restarted server
//! follows its running commands again.

#![expect(clippy::print_stdout, reason = "its report goes to standard output")]

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

mod api;
mod audit;
mod deployment;
mod host;
mod load;
mod model;
mod phases;
mod records;
mod recovery;
mod script;
mod verdict;

/// Kills the server under load and checks that nothing is lost, doubled or left behind.
#[derive(Debug, Parser)]
struct Args {
    /// The number of times that the server is killed under load.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Seed of the load and the kills; taken from the clock by default, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// The server's program; by default `ephemeral` in the directory of this program.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// The number of concurrent clients.
    #[arg(long, default_value_t = 6)]
    clients: usize,
    /// The number of warm shells of the server.
    #[arg(long, default_value_t = 1)]
    warm: u32,
    /// Measure the recovery of running commands instead of the test.
    #[arg(long)]
    recovery: bool,
    /// The number of commands that run when the server is killed; with --recovery.
    #[arg(long, default_value_t = 100)]
    jobs: usize,
    /// Print the measurement as one line of JSON; with --recovery.
    #[arg(long)]
    json: bool,
    /// Keep the server's log at this path.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("threads can't be started")
        .and_then(|runtime| runtime.block_on(run(args)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("crash: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the test or the measurement. Dropping the deployment ends everything that was started.
async fn run(args: Args) -> Result<bool> {
    let program = program(&args)?;
    if let Some(missing) = missing_feature(&program)? {
        println!("SKIPPED: the crash test: {missing}");
        return Ok(true);
    }
    let work = async {
        if args.recovery {
            recovery::measure(&args, program).await
        } else {
            phases::run(&args, program).await
        }
    };
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

/// What this host lacks for real shells, by `ephemeral doctor`. A real shell that fails for another
/// reason is a failure of the test.
fn missing_feature(program: &Path) -> Result<Option<String>> {
    let report = Command::new(program).args(["doctor", "--json"]).output()?;
    let checks = serde_json::Deserializer::from_slice(&report.stdout).into_iter::<Value>();
    let failed = checks
        .filter_map(Result::ok)
        .find(|check| check["verdict"] == "bad" && check["name"] != "a real shell");
    Ok(failed.map(|check| format!("{} ({})", check["name"], check["detail"])))
}

fn program(args: &Args) -> Result<PathBuf> {
    let beside = || {
        let own = std::env::current_exe().context("our own program can't be found")?;
        Ok::<_, anyhow::Error>(own.with_file_name("ephemeral"))
    };
    let path = args.server.clone().map_or_else(beside, Ok)?;
    path.canonicalize().with_context(|| {
        format!("{} is missing; hint: `cargo build -p cli` builds the server", path.display())
    })
}
