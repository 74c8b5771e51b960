//! P5 to P7 and P10: throughput, memory and recovery.

use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use serde_json::json;

use crate::{
    Bench, api,
    figure::{Figure, Target, percentile},
    http::Connection,
    server::rss_kib,
};

const CONNECTIONS: usize = 32;
const SENDING: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
const GIB: u64 = 1 << 30;
const KEPT: u64 = 8 << 20;
const IDLE: usize = 200;
const RUNNING: usize = 100;

/// P5: executes accepted per second; each is durable before its response.
pub(crate) fn accepted(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 2 * u32::try_from(CONNECTIONS)?, 0)?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut api = server.connect()?;
        let session = api::start_ready(&mut api)?;
        clients.push((api, session));
    }
    let begun = Instant::now();
    let sent: Result<Vec<(Connection, Vec<String>)>> = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|(api, session)| scope.spawn(move || send(api, &session, begun + SENDING)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|sent| sent.map_err(|_| anyhow!("a client panicked"))?).collect()
    });
    let (mut sent, span) = (sent?, begun.elapsed());
    let all: usize = sent.iter().map(|(_, jobs)| jobs.len()).sum();
    thread::sleep(MINUTE.saturating_sub(begun.elapsed()));
    let mut done = 0;
    for (api, jobs) in &mut sent {
        done += finished(api, jobs)?;
    }
    drop(sent);
    bench.stop_all(&server)?;
    server.down()?;
    let share = 100 * done / all;
    Ok(Figure {
        id: "P5",
        what: format!(
            "executes accepted a second by {CONNECTIONS} connections; {share} % done within the minute"
        ),
        value: count(all) / span.as_secs_f64(),
        unit: "/s",
        peer: None,
        target: Target::AtLeast(3000.0),
    })
}

fn send(mut api: Connection, session: &str, until: Instant) -> Result<(Connection, Vec<String>)> {
    let mut jobs = Vec::new();
    while Instant::now() < until {
        jobs.push(api::execute(&mut api, session, &["true"])?);
    }
    Ok((api, jobs))
}

/// The number of final jobs. Serial jobs run in order, so the final ones come first.
fn finished(api: &mut Connection, jobs: &[String]) -> Result<usize> {
    let (mut low, mut high) = (0, jobs.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let job = api.get(&format!("/jobs/{}", jobs[middle]))?;
        if job["status"] == "completed" { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// P6: output throughput of one job: all bytes are counted, some are kept.
pub(crate) fn output(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 10, 0)?;
    let mut api = server.connect()?;
    let session = api::start_largest(&mut api)?;
    let size = GIB.to_string();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        theirs.push(cat(&size)?);
        let begun = Instant::now();
        let job = api.post(
            "/shell/execute",
            &json!({
                "sessionId": session,
                "command": ["head", "-c", size, "/dev/zero"],
                "maxOutputBytes": KEPT,
            }),
        )?;
        let job = api::wait(&mut api, job["jobId"].as_str().unwrap_or_default())?;
        ours.push(begun.elapsed());
        api::completed(&job)?;
        ensure!(
            job["stdout"]["bytes"] == GIB,
            "not all output was counted: {}",
            job["stdout"]["bytes"]
        );
    }
    bench.stop_all(&server)?;
    server.down()?;
    let rate = |spans| 1024.0 * 1.048_576 / (percentile(spans, 0.5) / 1000.0);
    Ok(Figure {
        id: "P6",
        what: "1 GiB of one job's stdout counted, 8 MiB kept".to_owned(),
        value: rate(ours),
        unit: "MB/s",
        peer: Some(("cat through a pipe", rate(theirs))),
        target: Target::AtLeast(0.2),
    })
}

fn cat(size: &str) -> Result<Duration> {
    let begun = Instant::now();
    let mut head =
        Command::new("head").args(["-c", size, "/dev/zero"]).stdout(Stdio::piped()).spawn()?;
    let output = head.stdout.take().ok_or_else(|| anyhow!("no pipe"))?;
    let cat = Command::new("cat").stdin(output).stdout(Stdio::null()).status()?;
    ensure!(head.wait()?.success() && cat.success(), "head or cat failed");
    Ok(begun.elapsed())
}

/// P7: memory of the server and of a runner with idle sessions.
pub(crate) fn memory(bench: &Bench) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 2 * u32::try_from(IDLE)?, 0)?;
    let mut api = server.connect()?;
    for _ in 0..IDLE {
        api::start_ready(&mut api)?;
    }
    let runners: Result<Vec<u64>> = server.runners()?.into_iter().map(rss_kib).collect();
    let mut runners = runners?;
    ensure!(runners.len() == IDLE, "there are {} shells", runners.len());
    runners.sort_unstable();
    let (server_kib, runner_kib) = (server.rss_kib()?, runners[IDLE / 2]);
    bench.stop_all(&server)?;
    server.down()?;
    let figure = |what: String, kib, most| Figure {
        id: "P7",
        what,
        value: mib(kib),
        unit: "MiB",
        peer: None,
        target: Target::AtMost(most),
    };
    Ok(vec![
        figure(format!("server's memory with {IDLE} idle sessions"), server_kib, 80.0),
        figure("a runner's memory, the median of them".to_owned(), runner_kib, 1.5),
    ])
}

/// P10: time from the restart of a killed server until it has attached to all running jobs.
pub(crate) fn recovery(bench: &Bench) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let quota = 2 * u32::try_from(RUNNING)?;
    let server = bench.up(dir.path(), quota, 0)?;
    let mut api = server.connect()?;
    let mut jobs = Vec::new();
    for _ in 0..RUNNING {
        let session = api::start_ready(&mut api)?;
        jobs.push(api::execute(&mut api, &session, &["sleep", "600"])?);
    }
    for job in &jobs {
        await_attempt(&mut api, job, 1)?;
    }
    server.kill()?;
    let begun = Instant::now();
    let server = bench.up(dir.path(), quota, 0)?;
    let mut api = server.connect()?;
    for job in &jobs {
        await_attempt(&mut api, job, 2)?;
    }
    let span = begun.elapsed();
    bench.stop_all(&server)?;
    server.down()?;
    Ok(Figure {
        id: "P10",
        what: format!("kill -9 with {RUNNING} running jobs: from restart until all are attached"),
        value: span.as_secs_f64(),
        unit: "s",
        peer: None,
        target: Target::AtMost(2.0),
    })
}

/// Waits until the job has had this many attempts.
fn await_attempt(api: &mut Connection, job: &str, target: u64) -> Result<()> {
    let begun = Instant::now();
    loop {
        let value = api.get(&format!("/jobs/{job}"))?;
        ensure!(
            matches!(value["status"].as_str(), Some("queued" | "running")),
            "it ended: {value}"
        );
        if value["attempt"].as_u64() >= Some(target) {
            return Ok(());
        }
        ensure!(begun.elapsed() < MINUTE, "no worker claimed the job: {value}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn mib(kib: u64) -> f64 {
    count(usize::try_from(kib).unwrap_or(usize::MAX)) / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
const fn count(number: usize) -> f64 {
    number as f64
}
