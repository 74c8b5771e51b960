//! A server under a mixed load for a long time: what it holds must not grow with the time.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::{Bench, api, server::Server};

const CLIENTS: usize = 3;
/// Between two commands of a client, so that the load lasts instead of filling the machine.
const PAUSE: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);
/// A value may grow by this from the second quarter of the time to the last one. The first quarter is left
/// out, in which caches are filled.
const GROWTH: f64 = 1.1;

/// What the server holds at one time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rss_kib: u64,
    descriptors: u64,
    threads: u64,
    sandboxes: u64,
    stored_kib: u64,
    jobs: u64,
}

/// Prints a line each minute; fails if memory, descriptors, threads, sandboxes or the bytes stored for each
/// job have grown at the end.
pub(crate) fn run(bench: &Bench, minutes: u64) -> Result<()> {
    ensure!(minutes >= 4, "four minutes are the least");
    let dir = tempfile::tempdir()?;
    let server = bench.up(dir.path(), 20, 0)?;
    let (over, jobs) = (AtomicBool::new(false), AtomicU64::new(0));
    let samples: Result<Vec<Sample>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    client(&server, &over, &jobs).inspect_err(|_| over.store(true, Relaxed))
                })
            })
            .collect();
        let samples = watch(&server, dir.path(), minutes, &over, &jobs);
        over.store(true, Relaxed);
        for client in clients {
            client.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        samples
    });
    let samples = samples?;
    bench.stop_all(&server)?;
    let idle = sample(&server, dir.path(), jobs.load(Relaxed))?;
    println!("after all sessions were stopped: {idle:?}");
    server.down()?;
    judge(&samples)
}

fn watch(
    server: &Server,
    dir: &Path,
    minutes: u64,
    over: &AtomicBool,
    jobs: &AtomicU64,
) -> Result<Vec<Sample>> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    for minute in 1..=minutes {
        while begun.elapsed() < MINUTE * u32::try_from(minute)? {
            ensure!(!over.load(Relaxed), "a client failed");
            thread::sleep(Duration::from_millis(100));
        }
        let sample = sample(server, dir, jobs.load(Relaxed))?;
        println!("minute {minute}: {sample:?}");
        samples.push(sample);
    }
    Ok(samples)
}

/// One session after the other, each with every kind of command.
fn client(server: &Server, over: &AtomicBool, jobs: &AtomicU64) -> Result<()> {
    let mut api = server.connect()?;
    while !over.load(Relaxed) {
        let session = api::start_ready(&mut api)?;
        for (command, expected) in commands() {
            if over.load(Relaxed) {
                break;
            }
            let mut body = command;
            body["sessionId"] = json!(session);
            let job = api.post("/shell/execute", &body)?;
            let id = job["jobId"].as_str().context("no jobId")?.to_owned();
            if expected == "cancelled" {
                api.post(&format!("/jobs/{id}/cancel"), &json!({}))?;
            }
            let job = api::wait(&mut api, &id)?;
            ensure!(job["status"] == expected, "expected {expected}: {job}");
            jobs.fetch_add(1, Relaxed);
            api.get("/sessions?limit=20")?;
            api.get(&format!("/sessions/{session}/events"))?;
            thread::sleep(PAUSE);
        }
        api::stop(&mut api, &session)?;
    }
    Ok(())
}

/// Requests without their session, each with the status of its job in the end.
fn commands() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"command": "true"}), "completed"),
        (json!({"command": "seq 20000"}), "completed"),
        (json!({"command": "cat", "stdin": "x".repeat(10_000)}), "completed"),
        (json!({"command": "head -c 4M /dev/urandom | base64", "keep": "both"}), "completed"),
        (json!({"command": "exit 3"}), "completed"),
        (json!({"command": ["missing-program"]}), "failed"),
        (json!({"command": "sleep 60", "timeoutSeconds": 1}), "timed_out"),
        (json!({"command": "sleep 60"}), "cancelled"),
        (json!({"command": "sleep 60 & sleep 60 &", "background": true}), "completed"),
        (json!({"command": "for i in $(seq 50); do (sleep 0.1; true) & done; wait"}), "completed"),
        (json!({"command": "head -c 20M /dev/zero > $HOME/file; rm $HOME/file"}), "completed"),
    ]
}

fn sample(server: &Server, dir: &Path, jobs: u64) -> Result<Sample> {
    let process = format!("/proc/{}", server.pid());
    let list = |dir: &Path| -> Result<u64> { Ok(u64::try_from(fs::read_dir(dir)?.count())?) };
    Ok(Sample {
        rss_kib: server.rss_kib()?,
        descriptors: list(Path::new(&format!("{process}/fd")))?,
        threads: list(Path::new(&format!("{process}/task")))?,
        sandboxes: list(&dir.join("sandboxes"))?,
        stored_kib: stored_kib(dir)?,
        jobs,
    })
}

/// The size of the database. KiB.
fn stored_kib(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for file in ["ephemeral.db", "ephemeral.db-wal"] {
        bytes += fs::metadata(dir.join(file)).map_or(0, |file| file.len());
    }
    Ok(bytes / 1024)
}

type Value64 = fn(&Sample) -> f64;

/// Compares the second quarter with the last one.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn judge(samples: &[Sample]) -> Result<()> {
    let quarter = samples.len() / 4;
    let (early, late) = (&samples[quarter..2 * quarter], &samples[3 * quarter..]);
    let values: [(&str, Value64); 5] = [
        ("memory (KiB)", |sample| sample.rss_kib as f64),
        ("descriptors", |sample| sample.descriptors as f64),
        ("threads", |sample| sample.threads as f64),
        ("sandboxes", |sample| sample.sandboxes as f64),
        ("stored for each job (KiB)", |sample| {
            sample.stored_kib as f64 / sample.jobs.max(1) as f64
        }),
    ];
    let mut grown = Vec::new();
    for (what, value) in values {
        let [early, late] = [early, late].map(|part| mean(part, value));
        println!("{what}: {early:.1} in the second quarter, {late:.1} in the last one");
        // Small numbers change by whole sessions.
        if late > early * GROWTH + 2.0 {
            grown.push(what);
        }
    }
    ensure!(grown.is_empty(), "grown: {}", grown.join(", "));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mean(samples: &[Sample], value: Value64) -> f64 {
    samples.iter().map(value).sum::<f64>() / samples.len() as f64
}
