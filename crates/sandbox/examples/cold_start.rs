//! Measures the time from `run` until the runner answers, and from `stop` until the sandbox is removed:
//! `cargo run --release -p sandbox --example cold_start -- [TIMES]`.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sandbox::{
    Budget, Config, Driver, Egress, Image, Network, Runtime, Status, TaskFacts, TaskSpec, UidRange,
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(word) if word == "runtime" => Ok(sandbox::runtime_main(args)),
        times => measure(times.and_then(|text| text.to_str()?.parse().ok()).unwrap_or(50)),
    }
}

fn measure(times: usize) -> Result<ExitCode, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let program = std::env::var_os("RUNTIME");
    let config = Config {
        root: dir.path().to_owned(),
        exe: std::env::current_exe()?,
        runtime: program.map_or(Runtime::BuiltIn, |program| Runtime::Program(program.into())),
        image: Image::Host,
        grace: Duration::from_secs(2),
        uid_range: UidRange::default(),
        allow_root: false,
        egress: Egress::Public,
        prepare: None,
        budget: Budget::of_host(dir.path())?,
        end_with_driver: false,
    };
    let (send, facts) = mpsc::channel();
    let driver = Driver::open(config, move |fact| drop(send.send(fact)))?;
    let until = |status: Status| -> Result<TaskFacts, Box<dyn Error>> {
        loop {
            let fact = facts.recv()?;
            if fact.last_status >= status {
                return Ok(fact);
            }
        }
    };
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for n in 0..times {
        let begin = Instant::now();
        let id = driver.run(spec(n))?;
        let fact = until(Status::Running)?;
        if fact.last_status != Status::Running {
            return Err(fact.stopped_reason.into());
        }
        starts.push(begin.elapsed());
        let begin = Instant::now();
        driver.stop(&id, "measured")?;
        until(Status::Stopped)?;
        stops.push(begin.elapsed());
    }
    report("start", &mut starts)?;
    report("stop", &mut stops)?;
    Ok(ExitCode::SUCCESS)
}

fn spec(n: usize) -> TaskSpec {
    TaskSpec {
        started_by: "cold_start".into(),
        token: n.to_string(),
        cpu_units: 256,
        memory_mib: 512,
        pids: 512,
        disk_mib: 64,
        lifetime: None,
        network: Network::None,
    }
}

fn report(what: &str, times: &mut [Duration]) -> Result<(), Box<dyn Error>> {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    let (p50, p95) = (at(50), at(95));
    Ok(writeln!(std::io::stdout(), "{what}: p50 {p50:.1?}, p95 {p95:.1?}")?)
}
