//! Attacks on the end of a job or a shell: processes that don't want to go.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::json;

use super::Attack;
use crate::server::Server;

/// Grace of the runner, of the driver, and time for a loaded machine.
const GONE_WITHIN: Duration = Duration::from_secs(60);

pub(super) const ATTACKS: [Attack; 4] = [
    Attack::new("survive the stop of the shell", |server| Box::pin(stop(server))),
    Attack::new("survive the time to live", |server| Box::pin(time_to_live(server))),
    Attack::new("survive the timeout of the job", |server| Box::pin(timeout(server))),
    Attack::new("flood the shell with processes", |server| Box::pin(fork_bomb(server))),
];

/// Processes that ignore signals, leave their session, are stopped, or trace each other.
const STUBBORN: &str = "
import os, signal, time, ctypes
mark = MARK
for number in range(1, 65):
    if number not in (9, 19, 32, 33):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
def sleeper():
    os.execv('/bin/sleep', ['sleep', mark])
for kind in range(40):
    if os.fork() == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        if kind % 4 == 1: os.kill(os.getpid(), signal.SIGSTOP)
        if kind % 4 == 2: ctypes.CDLL(None).ptrace(0, 0, 0, 0)
        sleeper()
for depth in range(300):
    os.makedirs(f'/tmp/{depth % 10}/' + 'd/' * (depth // 3), exist_ok=True)
for number in range(2000):
    open(f'/tmp/{number}.file', 'w').close()
print('ready', flush=True)
sleeper()
";

/// The processes of this host whose command line contains the mark.
pub(super) fn processes(mark: &str) -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).split('\0').any(|word| word == mark)).count()
}

async fn await_gone(mark: &str) -> Result<()> {
    let began = Instant::now();
    while processes(mark) > 0 {
        ensure!(began.elapsed() < GONE_WITHIN, "{} processes are left", processes(mark));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A number of seconds that no other process sleeps.
pub(super) fn unique_mark() -> String {
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("9{:09}", nanos.subsec_nanos())
}

async fn stubborn(
    server: &Server,
    name: &str,
    ttl_seconds: u32,
) -> Result<(crate::user::User, String, String, String)> {
    let mallory = server.user(name).await?;
    let session = mallory.ready_with(&json!({"ttlSeconds": ttl_seconds})).await?;
    let mark = unique_mark();
    let program = STUBBORN.replace("MARK", &format!("'{mark}'"));
    let body = json!({"command": ["python3", "-c", program], "timeoutSeconds": 600});
    let job = mallory.execute(&session, &body).await?;
    let began = Instant::now();
    while processes(&mark) < 20 {
        let state = mallory.get(&format!("/jobs/{job}")).await?.body;
        ensure!(
            state["status"] == "running" || state["status"] == "queued",
            "it did not start: {state}"
        );
        ensure!(began.elapsed() < GONE_WITHIN, "it does not start: {state}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok((mallory, session, job, mark))
}

async fn stop(server: &Server) -> Result<Option<String>> {
    let (mallory, session, _, mark) = stubborn(server, "stop", 600).await?;
    mallory.stop(&session).await?;
    await_gone(&mark).await?;
    Ok(None)
}

async fn time_to_live(server: &Server) -> Result<Option<String>> {
    let (mallory, session, _, mark) = stubborn(server, "ttl", 15).await?;
    await_gone(&mark).await?;
    let began = Instant::now();
    loop {
        let state = mallory.get(&format!("/sessions/{session}")).await?.expect(200)?.body;
        if state["status"] == "stopped" {
            ensure!(state["reason"] == "ttl_expired", "{state}");
            return Ok(None);
        }
        ensure!(began.elapsed() < GONE_WITHIN, "the session does not end: {state}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn timeout(server: &Server) -> Result<Option<String>> {
    let mallory = server.user("timeout").await?;
    let session = mallory.ready().await?;
    let mark = unique_mark();
    let program = STUBBORN.replace("MARK", &format!("'{mark}'"));
    let body = json!({"command": ["python3", "-c", program], "timeoutSeconds": 3});
    let job = mallory.run(&session, &body).await?;
    ensure!(job["status"] == "timed_out", "{job}");
    await_gone(&mark).await?;
    mallory.stop(&session).await?;
    Ok(None)
}

async fn fork_bomb(server: &Server) -> Result<Option<String>> {
    let (mallory, alice) = (server.user("forks").await?, server.user("bystander").await?);
    let (session, victim) = (mallory.ready().await?, alice.ready().await?);
    let bomb = "b() { b | b & }; while :; do b; done";
    mallory.execute(&session, &json!({"command": bomb})).await?;
    let began = Instant::now();
    let answer = alice
        .output_of(&victim, "for i in 1 2 3 4 5; do /bin/true || exit; done; echo fine")
        .await?;
    ensure!(answer == "fine\n", "another user can't start processes: {answer}");
    ensure!(began.elapsed() < GONE_WITHIN, "another user's command took {:?}", began.elapsed());
    mallory.stop(&session).await?;
    alice.stop(&victim).await?;
    Ok(None)
}
