//! A deterministic simulation of the whole system on the fakes.
//!
//! One thread turns everything by hand: handlers are polled in random order and dropped at random
//! awaits, messages and events are doubled, swapped, delayed and lost, port calls fail before or
//! after their effect, clocks jump, tasks die. Then the weather clears, and the twelve invariants of
//! the lifecycle must hold. The same seed gives the same run.

use std::{collections::BTreeMap, env, process::ExitCode, time::Instant};

mod hands;
mod laws;
mod log;
mod nature;
mod quiet;
mod users;
mod work;
mod world;

use laws::Violation;
use world::World;

/// Steps of one world before the weather clears.
const STEPS_A_WORLD: u64 = 3_000;
/// Lines of the log that a report shows.
const REPORT: usize = 60;
/// Characters of such a line.
const WIDTH: usize = 300;

struct Args {
    seed: u64,
    steps: u64,
    /// Runs this one world only, and prints all that happens in it.
    trace: bool,
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(usage) => {
            println!("{usage}");
            return ExitCode::from(2);
        }
    };
    std::panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut steps, mut worlds) = (0, 0);
    while steps < args.steps {
        let seed = args.seed.wrapping_add(worlds);
        let ran = run(seed, STEPS_A_WORLD, args.trace);
        steps += ran.steps;
        worlds += 1;
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
    println!("seed {}: {steps} steps in {worlds} worlds, {took:.1} s, all laws held", args.seed);
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
    let mut world = World::new(seed, trace);
    for _ in 0..steps {
        world.turn();
        if world.is_broken() {
            break;
        }
    }
    if !world.is_broken() {
        world.quiesce();
    }
    world.end()
}

/// The same seed again, with a log this time.
#[expect(clippy::print_stdout, reason = "a program for people")]
fn report(seed: u64, violation: &Violation) {
    println!("VIOLATION of law {} ({})", violation.law, violation.name);
    println!("{}", violation.what);
    println!("again: cargo run -p model --bin simulate -- --seed {seed} --steps 1");
    let ran = run(seed, STEPS_A_WORLD, true);
    let about = &violation.about;
    let lines: Vec<&String> =
        ran.log.iter().filter(|line| about.iter().any(|id| line.contains(id.as_str()))).collect();
    println!("the last of what happened to {}:", about.join(", "));
    for line in lines.iter().skip(lines.len().saturating_sub(REPORT)) {
        println!("{}", line.chars().take(WIDTH).collect::<String>());
    }
}

impl Args {
    fn read() -> Result<Self, &'static str> {
        let usage = "usage: simulate [--seed N] [--steps N] [--trace]";
        let mut args = Self { seed: 1, steps: 100_000, trace: false };
        let mut given = env::args().skip(1);
        while let Some(name) = given.next() {
            let mut number = || given.next().and_then(|text| text.parse().ok()).ok_or(usage);
            match name.as_str() {
                "--seed" => args.seed = number()?,
                "--steps" => args.steps = number()?,
                "--trace" => args.trace = true,
                _ => return Err(usage),
            }
        }
        Ok(args)
    }
}
