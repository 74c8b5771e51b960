//! A deterministic simulation of the whole system on the fakes.
//!
//! One thread drives everything: handlers are polled in random order and dropped at random awaits,
//! messages and events are duplicated, reordered, delayed and lost, port calls fail before or after
//! their effect, clocks jump, tasks die. After that, fault injection ends, all work is drained, and the
//! invariants of the lifecycle must hold. The same seed gives the same run.

use std::{collections::BTreeMap, process::ExitCode, time::Instant};

use clap::Parser;

mod drain;
mod environment;
mod in_flight;
mod invariants;
mod links;
mod log;
mod simulation;
mod users;
mod work;

use invariants::Violation;
use simulation::Simulation;

/// Steps of one run before fault injection ends.
const STEPS_PER_RUN: u64 = 3_000;
/// Number of log lines in a report.
const REPORT_LINES: usize = 60;
/// Characters of a log line in a report.
const LINE_WIDTH: usize = 300;

/// Simulates the system under fault injection and checks the invariants of the lifecycle.
#[derive(Debug, Parser)]
struct Args {
    /// Seed of the first run; each further run uses the next number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps in all; the last run is completed.
    #[arg(long, default_value_t = 100_000)]
    steps: u64,
    /// Do a single run, and print all its events.
    #[arg(long)]
    trace: bool,
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut steps, mut runs) = (0, 0);
    while steps < args.steps {
        let seed = args.seed.wrapping_add(runs);
        let ran = run(seed, STEPS_PER_RUN, args.trace);
        steps += ran.steps;
        runs += 1;
        for (kind, count) in ran.counts {
            *counts.entry(kind).or_default() += count;
        }
        if let Some(violation) = ran.violation {
            report(seed, &violation);
            return ExitCode::FAILURE;
        }
        if args.trace {
            ran.log.iter().for_each(|line| println!("{line}"));
            break;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    println!("seed {}: {steps} steps in {runs} runs, {took:.1} s, all invariants held", args.seed);
    for (kind, count) in counts {
        println!("{count:>10} {kind}");
    }
    ExitCode::SUCCESS
}

struct Ran {
    steps: u64,
    counts: BTreeMap<&'static str, u64>,
    violation: Option<Violation>,
    log: Vec<String>,
}

fn run(seed: u64, steps: u64, trace: bool) -> Ran {
    let mut simulation = Simulation::new(seed, trace);
    for _ in 0..steps {
        simulation.step();
        if simulation.is_violated() {
            break;
        }
    }
    if !simulation.is_violated() {
        simulation.drain();
    }
    simulation.end()
}

/// Prints the violation, and the log of a second run with the same seed.
#[expect(clippy::print_stdout, reason = "a program for people")]
fn report(seed: u64, violation: &Violation) {
    let invariant = violation.invariant;
    println!("VIOLATION of invariant {} ({})", invariant.number(), invariant.name());
    println!("{}", violation.what);
    println!("repeat: cargo run -p model --bin simulate -- --seed {seed} --steps 1");
    let ran = run(seed, STEPS_PER_RUN, true);
    let about = &violation.about;
    let lines: Vec<&String> =
        ran.log.iter().filter(|line| about.iter().any(|id| line.contains(id.as_str()))).collect();
    println!("the last events of {}:", about.join(", "));
    for line in lines.iter().skip(lines.len().saturating_sub(REPORT_LINES)) {
        println!("{}", line.chars().take(LINE_WIDTH).collect::<String>());
    }
}
