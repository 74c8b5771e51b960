//! `hostile`: attacks on the real server and on real shells, through the API as any user has it. Each
//! attack must fail. All traffic stays on this machine's loopback interface.

#![expect(clippy::print_stdout, reason = "its report goes to standard output")]

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use futures::{StreamExt, stream};
use tokio::signal::unix::{SignalKind, signal};

mod attacks;
mod server;
mod user;

use attacks::{Attack, Outcome};
use server::Server;

/// Attacks the real server and real shells.
#[derive(Debug, Parser)]
struct Args {
    /// Also the attacks that take long.
    #[arg(long)]
    long: bool,
    /// Only attacks whose name contains this; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The checkout; its target/debug has the program.
    #[arg(long, default_value = ".", value_name = "DIR")]
    root: PathBuf,
    /// Print the names of the attacks and exit.
    #[arg(long)]
    list: bool,
}

/// The number of attacks at the same time.
const AT_ONCE: usize = 3;
/// The time limit of an attack that is not a long one.
const SHORT: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if args.list {
        attacks::all().iter().for_each(|attack| println!("{}", attack.name));
        return Ok(ExitCode::SUCCESS);
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // In each case the server is dropped, which ends everything that it started.
    tokio::select! {
        held = run(&args) => Ok(if held? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    }
}

async fn run(args: &Args) -> Result<bool> {
    let chosen = |attack: &Attack| {
        let named = args.only.iter().any(|name| attack.name.contains(name));
        if args.only.is_empty() { args.long || !attack.long } else { named }
    };
    let chosen: Vec<Attack> = attacks::all().into_iter().filter(chosen).collect();
    ensure!(!chosen.is_empty(), "no attack has this name; hint: --list prints all names");
    let root = args.root.canonicalize().context("there is no such checkout")?;
    let program = root.join("target/debug/ephemeral");
    let doctor = tokio::process::Command::new(&program).arg("doctor").output().await?;
    if !doctor.status.success() {
        let reason = String::from_utf8_lossy(&doctor.stdout).trim().replace('\n', "; ");
        println!("SKIPPED: attacks on shells: this host can't isolate: {reason}");
        println!("0 passed, 0 failed, {} skipped", chosen.len());
        return Ok(true);
    }
    let began = Instant::now();
    let (long, short): (Vec<&Attack>, Vec<&Attack>) = chosen.iter().partition(|attack| attack.long);
    let mut outcomes = Vec::new();
    if !short.is_empty() {
        let server = Server::start(&program, &[]).await?;
        let running = stream::iter(short).map(|attack| one(&server, attack));
        outcomes = running.buffer_unordered(AT_ONCE).collect().await;
        server.stop().await?;
    }
    for attack in long {
        let server = Server::start(&program, &[]).await?;
        outcomes.push(one(&server, attack).await);
        // After an attack that succeeded, the server may not answer.
        if let Err(error) = server.stop().await {
            println!("  after {}: {error}", attack.name);
        }
    }
    let count = |wanted: Outcome| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    println!("attacks: {:.0} s", began.elapsed().as_secs_f64());
    let (held, open) = (count(Outcome::Held), count(Outcome::Open));
    println!("{held} passed, {open} failed, {} skipped", count(Outcome::Skipped));
    Ok(open == 0)
}

async fn one(server: &Server, attack: &Attack) -> Outcome {
    let began = Instant::now();
    let limit = if attack.long { LONG } else { SHORT };
    let ended = tokio::time::timeout(limit, (attack.run)(server)).await;
    let ended = ended.unwrap_or_else(|_| Err(anyhow::anyhow!("not done within {limit:?}")));
    let seconds = began.elapsed().as_secs_f64();
    match ended {
        Ok(None) => {
            println!("  held  {:44} {seconds:6.1} s", attack.name);
            Outcome::Held
        }
        Ok(Some(reason)) => {
            println!("SKIPPED: the attack {}: {reason}", attack.name);
            Outcome::Skipped
        }
        Err(error) => {
            println!("  OPEN  {:44} {seconds:6.1} s  {error:#}", attack.name);
            Outcome::Open
        }
    }
}
