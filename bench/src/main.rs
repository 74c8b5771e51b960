//! Measures ephemeral and its peers in the same run, prints one table and writes a JSON file.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use figure::{Figure, Target};
use server::Server;

mod api;
mod channel;
mod cost;
mod early_end;
mod figure;
mod files;
mod http;
mod lambda;
mod latency;
mod load;
mod machine;
mod mcp;
mod neighbours;
mod output;
mod results;
mod runc;
mod server;
mod soak;
mod terminals;

/// Measures ephemeral and its peers.
#[derive(Debug, Parser)]
struct Args {
    /// Path of the program `ephemeral`.
    #[arg(long, default_value = "target/release/ephemeral")]
    program: PathBuf,
    /// File for the figures. Those that are not measured now stay in it.
    #[arg(long, default_value = "bench/results.json")]
    results: PathBuf,
    /// Measure only these figures, such as P1,P3.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Print only the table of docs/cost.md.
    #[arg(long)]
    cost: bool,
    /// Also measure P12 (clone, build and run), which takes minutes.
    #[arg(long)]
    p12: bool,
    /// Only keep a server under a mixed load for this time and fail if what it holds grows.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
}

/// The environment of the measurements.
#[derive(Debug)]
pub(crate) struct Bench {
    program: PathBuf,
}

impl Bench {
    fn up(&self, dir: &Path, quota: u32, warm: u32) -> Result<Server> {
        Server::up(&self.program, dir, quota, warm, &[])
    }

    /// A server with further options of `ephemeral up`.
    fn up_with(&self, dir: &Path, quota: u32, warm: u32, options: &[&str]) -> Result<Server> {
        Server::up(&self.program, dir, quota, warm, options)
    }

    /// Stops all sessions and waits for their end.
    fn stop_all(&self, server: &Server) -> Result<()> {
        let mut api = server.connect()?;
        loop {
            let mut left = Vec::new();
            for status in ["queued", "provisioning", "starting", "ready", "stopping"] {
                let page = api.get(&format!("/sessions?limit=100&status={status}"))?;
                let sessions = page["data"].as_array().cloned().unwrap_or_default();
                let ids = sessions.iter().filter_map(|one| one["sessionId"].as_str());
                left.extend(ids.map(str::to_owned));
            }
            if left.is_empty() {
                return Ok(());
            }
            for session in left {
                api::stop(&mut api, &session)?;
            }
        }
    }
}

type Measure = fn(&Bench) -> Result<Vec<Figure>>;

const MEASURES: [(&str, Measure); 17] = [
    ("P1", |bench| one(latency::cold(bench))),
    ("P2", |bench| one(latency::warm(bench))),
    ("P3", |bench| one(latency::execute(bench))),
    ("P4", |bench| one(latency::burst(bench))),
    ("P5", |bench| one(load::accepted(bench))),
    ("P6", |bench| one(load::output(bench))),
    ("P10", |bench| one(load::recovery(bench))),
    ("P13", |bench| one(output::short(bench))),
    ("F2", |bench| one(latency::waiting(bench))),
    ("F3", |bench| one(mcp::call(bench))),
    ("P7", load::memory),
    ("P8", lambda::figures),
    ("P9", cost::figures),
    ("P11", channel::figures),
    ("F1", files::figures),
    ("N1", neighbours::figures),
    ("T", terminals::figures),
];

fn one(figure: Result<Figure>) -> Result<Vec<Figure>> {
    figure.map(|figure| vec![figure])
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.cost {
        println!("{}", cost::tables()?);
        return Ok(());
    }
    early_end::watch_signals()?;
    let bench = Bench { program: args.program.canonicalize().context("build it first")? };
    if let Some(minutes) = args.soak {
        return soak::run(&bench, minutes);
    }
    check_names(&args.only)?;
    let target = |id: &str| args.only.is_empty() || args.only.iter().any(|only| is_part(id, only));
    let mut figures = Vec::new();
    for (id, measure) in MEASURES {
        if target(id) {
            eprintln!("measuring {id}");
            // A figure that can't be measured does not prevent the others.
            match measure(&bench) {
                Ok(all) => figures.extend(all),
                Err(error) => eprintln!("{id}: {error:#}"),
            }
        }
    }
    if args.p12 {
        eprintln!("measuring P12");
        figures.push(first_run()?);
    }
    println!("{}", figure::table(&figures));
    results::write(&args.results, &figures)
}

/// Refuses names of figures that do not exist.
fn check_names(asked: &[String]) -> Result<()> {
    let ids = MEASURES.map(|(id, _)| id);
    for name in asked {
        let is_known = ids.iter().any(|id| is_part(id, name));
        ensure!(is_known, "there is no figure {name}; there are {}", ids.join(", "));
    }
    Ok(())
}

/// Whether the figures of this id are asked for by this name: `T` and `T1` both mean those of `T`, T1 to T3.
fn is_part(id: &str, asked: &str) -> bool {
    let rest = asked.strip_prefix(id);
    rest.is_some_and(|rest| {
        rest.is_empty() || id == "T" && rest.bytes().all(|b| b.is_ascii_digit())
    })
}

/// P12: time from a clean clone to the result of `make run`.
fn first_run() -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let clone = dir.path().join("clone");
    let begun = Instant::now();
    let cloned = Command::new("git").args(["clone", "--quiet", "."]).arg(&clone).status()?;
    ensure!(cloned.success(), "git clone failed");
    let ran = Command::new("make").arg("run").current_dir(&clone).status()?;
    ensure!(ran.success(), "make run failed");
    Ok(Figure {
        id: "P12",
        what: "clean clone to the main job's result, dependencies downloaded".to_owned(),
        value: begun.elapsed().as_secs_f64() / 60.0,
        unit: "min",
        peer: None,
        target: Target::AtMost(5.0),
    })
}
