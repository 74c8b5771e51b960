//! `crash`: kills the real server again and again under load, then checks the twelve invariants
//! against its records, what the commands saw, what the webhooks' receiver saw, and the host.
//!
//! `crash --rounds 20 --seed 7` is the test; `crash --recovery` measures how soon a server that was
//! killed has its running commands again.

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
mod book;
mod host;
mod load;
mod records;
mod recovery;
mod rounds;
mod script;
mod server;
mod sink;
mod verdict;

/// Kills the server under load and checks that nothing is lost, doubled or left behind.
#[derive(Debug, Parser)]
struct Args {
    /// How often the server is killed under load.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// What the load and the kills are drawn from; the clock's by default.
    #[arg(long)]
    seed: Option<u64>,
    /// The server's program; `ephemeral` beside this one by default.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Clients that work at the same time.
    #[arg(long, default_value_t = 6)]
    clients: usize,
    /// Shells that the server keeps warm.
    #[arg(long, default_value_t = 1)]
    warm: u32,
    /// Measure the recovery of running commands instead.
    #[arg(long)]
    recovery: bool,
    /// Commands that run when the server is killed; with --recovery.
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

/// Whatever happens, what was started is gone when this returns: the world takes it along.
async fn run(args: Args) -> Result<bool> {
    let program = program(&args)?;
    if let Some(lack) = lack(&program)? {
        println!("SKIPPED: the crash test: {lack}");
        return Ok(true);
    }
    let work = async {
        if args.recovery {
            recovery::measure(&args, program).await
        } else {
            rounds::run(&args, program).await
        }
    };
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

/// What this host lacks for real shells. That a shell fails for another reason is no excuse.
fn lack(program: &Path) -> Result<Option<String>> {
    let told = Command::new(program).args(["doctor", "--json"]).output()?;
    let checks = serde_json::Deserializer::from_slice(&told.stdout).into_iter::<Value>();
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
        format!("there is no server at {}; `cargo build -p cli` makes it", path.display())
    })
}
