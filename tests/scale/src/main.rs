//! `scale`: what becomes of many sessions that start at once. The real handlers and the real state
//! machine run in virtual time on ports in memory that keep AWS's published quotas. `docs/scale.md` has
//! the results and the assumptions.

use std::{process::ExitCode, str::FromStr, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use domain::session::Session;
use tokio::time::sleep;

mod clients;
mod clock;
mod deployment;
mod functions;
mod lanes;
mod quotas;
mod report;
mod runners;
mod tasks;
mod workflow;

use deployment::Deployment;
use quotas::Quotas;

/// Runs many sessions in virtual time under AWS's published quotas.
#[derive(Debug, Parser)]
struct Args {
    /// How many sessions.
    #[arg(long, default_value_t = 1_000)]
    sessions: usize,
    /// `burst`: all at once; or how many arrive in a second, such as 16.7.
    #[arg(long, default_value = "burst")]
    arrival: Arrival,
    /// How commands reach their runners.
    #[arg(long, value_enum, default_value_t = Transport::Link)]
    transport: Transport,
    /// Commands of each session.
    #[arg(long, default_value_t = 3)]
    commands: u32,
    /// Seconds from the end of the last command to the stop.
    #[arg(long, default_value_t = 60)]
    hold: u64,
    /// Another value of a quota, as NAME=NUMBER; the report has the names. May be given more than once.
    #[arg(long, value_name = "NAME=NUMBER")]
    quota: Vec<String>,
    /// Seed of all random times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// When sessions arrive.
#[derive(Debug, Clone, Copy)]
enum Arrival {
    Burst,
    PerSecond(f64),
}

impl FromStr for Arrival {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse::<f64>() {
            _ if text.eq_ignore_ascii_case("burst") => Ok(Self::Burst),
            Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(Self::PerSecond(rate)),
            _ => bail!("{text:?} is neither `burst` nor a number of sessions in a second"),
        }
    }
}

/// How commands reach their runners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// Over the connections that the runners open.
    Link,
    /// By a call of ECS Exec each.
    Exec,
}

/// The longest run. Sessions end before, or they never do.
const LONGEST: Duration = Duration::from_hours(3);

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let report = model(&args)?;
    report.print();
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the model in virtual time of its own.
fn model(args: &Args) -> Result<report::Report> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(run(args))
}

async fn run(args: &Args) -> Result<report::Report> {
    let (quotas, amounts) = Quotas::new(&args.quota)?;
    let deployment = Deployment::new(quotas, amounts, args.transport, args.seed);
    let hold = Duration::from_secs(args.hold);
    let mut clients = Vec::new();
    for number in 0..args.sessions {
        let arrives = match args.arrival {
            Arrival::Burst => 0.0,
            #[expect(clippy::cast_precision_loss, reason = "far fewer sessions than 2^52")]
            Arrival::PerSecond(rate) => number as f64 / rate,
        };
        let (deployment, commands) = (Arc::clone(&deployment), args.commands);
        clients.push(tokio::spawn(async move {
            sleep(Duration::from_secs_f64(arrives)).await;
            clients::session(deployment, number, commands, hold).await
        }));
    }
    let all = async {
        let outcomes = futures::future::try_join_all(clients).await?;
        while deployment.store.all_sessions().iter().any(|read| is_open(&read.value)) {
            sleep(Duration::from_secs(5)).await;
        }
        anyhow::Ok(outcomes)
    };
    let outcomes = match tokio::time::timeout(LONGEST, all).await {
        Ok(outcomes) => outcomes?,
        Err(_) => bail!("sessions did not end within {LONGEST:?} of virtual time"),
    };
    Ok(report::Report::of(&deployment, outcomes, amounts, args.transport))
}

const fn is_open(session: &Session) -> bool {
    !matches!(session, Session::Ended(_))
}

#[cfg(test)]
mod tests;
