//! Attacks of one user on what all users of a server and a host share.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    Attack,
    ends::{processes, unique_mark},
};
use crate::{server::Server, user::User};

/// Time within which another user's command is done while an attack goes on, on a loaded machine too.
const SERVED_WITHIN: Duration = Duration::from_secs(20);

/// Time within which a shell of 15 s ends without a server.
const ENDS_ALONE_WITHIN: Duration = Duration::from_secs(240);

pub(super) const ATTACKS: [Attack; 10] = [
    Attack::new("use up the limits of a user of the host", |server| Box::pin(limits(server))),
    Attack::new("watch and lock the programs of others", |server| Box::pin(programs(server))),
    Attack::new("take more memory than the host has", |server| Box::pin(budget(server))),
    Attack::new("get a long answer for a short request", |server| Box::pin(amplification(server))),
    Attack::new("read metrics from a page of another site", |server| Box::pin(rebinding(server))),
    Attack::new("mislead the host about a process", |server| Box::pin(mislead(server))),
    Attack::new("outlive a server that was killed", |server| Box::pin(outlive(server))).long(),
    Attack::new("occupy all workers by sleeping jobs", |server| Box::pin(workers(server))).long(),
    Attack::new("list large jobs without end", |server| Box::pin(lists(server))).long(),
    Attack::new("delay webhooks of others by a tarpit", |server| Box::pin(tarpit(server))).long(),
];

const SYS_RESOURCE: u32 = 24;

/// What a user takes while another one works.
struct Pair {
    mallory: User,
    alice: User,
    /// The victim's session.
    victim: String,
}

impl Pair {
    async fn new(server: &Server, name: &str) -> Result<Self> {
        let mallory = server.user(&format!("{name}-attacker")).await?;
        let alice = server.user(&format!("{name}-victim")).await?;
        let victim = alice.ready().await?;
        Ok(Self { mallory, alice, victim })
    }

    /// The victim can run a command and cancel another one.
    async fn is_served(&self) -> Result<()> {
        let began = Instant::now();
        let output = self.alice.output_of(&self.victim, "echo served").await?;
        ensure!(output == "served\n", "{output}");
        let body = json!({"command": ["sleep", "600"], "concurrency": "parallel"});
        let job = self.alice.execute(&self.victim, &body).await?;
        self.alice.post(&format!("/jobs/{job}/cancel"), &json!({})).await?.expect(202)?;
        let ended = self.alice.finished(&job).await?;
        ensure!(ended["status"] == "cancelled", "{ended}");
        ensure!(began.elapsed() < SERVED_WITHIN, "the victim waited {:?}", began.elapsed());
        Ok(())
    }
}

/// Limits that the kernel counts by user: each shell has its own users.
async fn limits(server: &Server) -> Result<Option<String>> {
    let pair = Pair::new(server, "limits").await?;
    let session = pair.mallory.ready().await?;
    let program = include_str!("../../programs/limits.py");
    let taken = pair
        .mallory
        .execute(&session, &json!({"command": ["python3", "-I", "-c", program, "take"]}))
        .await?;
    let began = Instant::now();
    loop {
        let job = pair.mallory.get(&format!("/jobs/{taken}")).await?.expect(200)?.body;
        if job["stdout"]["text"].as_str().is_some_and(|text| text.contains("taken")) {
            break;
        }
        ensure!(began.elapsed() < SERVED_WITHIN, "the attack does not begin: {job}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let job = pair
        .alice
        .run(&pair.victim, &json!({"command": ["python3", "-I", "-c", program, "try"]}))
        .await?;
    ensure!(job["stdout"]["text"] == "all work\n", "{job}");
    pair.mallory.stop(&session).await?;
    pair.alice.stop(&pair.victim).await?;
    Ok(None)
}

/// inotify and flock work on files; a shell has a file system of its own above those of the host.
async fn programs(server: &Server) -> Result<Option<String>> {
    let pair = Pair::new(server, "programs").await?;
    let session = pair.mallory.ready().await?;
    let program = include_str!("../../programs/watch.py");
    let job = pair
        .mallory
        .execute(&session, &json!({"command": ["python3", "-I", "-c", program]}))
        .await?;
    let began = Instant::now();
    loop {
        let state = pair.mallory.get(&format!("/jobs/{job}")).await?.expect(200)?.body;
        if state["stdout"]["text"].as_str().is_some_and(|text| text.contains("watching")) {
            break;
        }
        ensure!(began.elapsed() < SERVED_WITHIN, "the attack does not begin: {state}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let lock = "flock -n /usr/bin/env true && echo free; /usr/bin/od --version > /dev/null";
    let locked = pair.alice.output_of(&pair.victim, lock).await?;
    ensure!(locked == "free\n", "a program is locked in another shell");
    let state = pair.mallory.finished(&job).await?;
    let seen = state["stdout"]["text"].as_str().unwrap_or_default();
    ensure!(!seen.contains("'od'"), "another user's programs are seen: {seen}");
    pair.mallory.stop(&session).await?;
    pair.alice.stop(&pair.victim).await?;
    Ok(None)
}

/// The out-of-memory killer prefers commands to the host's own processes, and the audit log has no user
/// that a command names.
async fn mislead(server: &Server) -> Result<Option<String>> {
    let mallory = server.user("mislead").await?;
    let session = mallory.ready().await?;
    let sets_scores = if has_capability(SYS_RESOURCE)? { "True" } else { "False" };
    let program = include_str!("../../programs/mislead.py");
    let program = format!("SERVER_SETS_SCORES = {sets_scores}\n{program}");
    let held = mallory.attack(&session, &program).await;
    mallory.stop(&session).await?;
    held
}

/// Whether this process, and so the server that it starts, has the capability of this number; see
/// capabilities(7).
fn has_capability(number: u32) -> Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = u64::from_str_radix(effective.unwrap_or_default().trim(), 16)?;
    Ok(effective >> number & 1 == 1)
}

/// A shell ends soon after its time to live without any server.
async fn outlive(server: &Server) -> Result<Option<String>> {
    let mut killed = Server::start(server.program(), &[]).await?;
    let mallory = killed.user("outlive").await?;
    let session = mallory.ready_with(&json!({"ttlSeconds": 15})).await?;
    let mark = unique_mark();
    mallory.execute(&session, &json!({"command": ["sleep", mark]})).await?;
    let began = Instant::now();
    while processes(&mark) == 0 {
        ensure!(began.elapsed() < SERVED_WITHIN, "the command does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    killed.kill().await?;
    while processes(&mark) > 0 {
        ensure!(
            began.elapsed() < ENDS_ALONE_WITHIN,
            "the shell still runs after {:?}",
            began.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(None)
}

/// All shells together may not have more memory than the host.
async fn budget(server: &Server) -> Result<Option<String>> {
    let mallory = server.user("budget").await?;
    let largest = json!({"ttlSeconds": 60, "size": {"cpu": 4096, "memoryMiB": 30720}});
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let total =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).context("MemTotal")?;
    let total_kib: u64 = total.trim().trim_end_matches(" kB").parse()?;
    let mut promised = 0;
    for _ in 0..5 {
        let answer = mallory.post("/shell/start", &largest).await?;
        ensure!(answer.status < 500, "{}", answer.body);
        let session = answer.body["sessionId"].as_str().unwrap_or_default().to_owned();
        if answer.status != 202 {
            continue;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let state = mallory.get(&format!("/sessions/{session}")).await?.expect(200)?.body;
        promised += if state["status"] == "ready" { 30_720 << 10 } else { 0 };
    }
    ensure!(promised <= total_kib, "{promised} KiB of {total_kib} KiB are promised");
    Ok(None)
}

/// An answer that lists faults is not much longer than the request.
async fn amplification(server: &Server) -> Result<Option<String>> {
    let user = server.user("amplification").await?;
    let fields: serde_json::Map<String, Value> =
        (0..20_000).map(|number| (format!("f{number}"), json!(1))).collect();
    let request = Value::Object(fields);
    let answer = user.post("/shell/start", &request).await?.expect(400)?;
    let length = answer.body.to_string().len();
    ensure!(length < 16 << 10, "an answer of {length} bytes to {}", request.to_string().len());
    Ok(None)
}

/// A browser that a page of another site has told this server's address by DNS sends that site's name.
async fn rebinding(server: &Server) -> Result<Option<String>> {
    let http = client::http_client()?;
    for path in ["/metrics", "/healthz", "/v1/openapi.json"] {
        let url = format!("http://{}{path}", server.address);
        let foreign = http.get(&url).header("host", "evil.example").send().await?.status().as_u16();
        ensure!(foreign == 421, "{path}: {foreign}");
        let own = http.get(&url).send().await?.status().as_u16();
        ensure!(own == 200, "{path}: {own}");
    }
    Ok(None)
}

/// Three users with 5 sessions of 90 sleeping jobs each.
async fn workers(server: &Server) -> Result<Option<String>> {
    let pair = Pair::new(server, "workers").await?;
    let mut sessions = Vec::new();
    for number in 0..3 {
        let user = server.user(&format!("sleeper-{number}")).await?;
        for _ in 0..5 {
            let session = user.ready().await?;
            for _ in 0..90 {
                let body = json!({"sessionId": session, "command": ["sleep", "600"], "concurrency": "parallel"});
                // The server may refuse more.
                let answer = user.post("/shell/execute", &body).await?;
                ensure!(matches!(answer.status, 202 | 429), "{}", answer.body);
            }
            sessions.push((user.clone(), session));
        }
    }
    pair.is_served().await?;
    for (user, session) in sessions {
        user.stop(&session).await?;
    }
    pair.alice.stop(&pair.victim).await?;
    Ok(None)
}

/// 16 connections that list 100 jobs with large records.
async fn lists(server: &Server) -> Result<Option<String>> {
    let pair = Pair::new(server, "lists").await?;
    let session = pair.mallory.ready().await?;
    pair.mallory.execute(&session, &json!({"command": ["sleep", "600"]})).await?;
    let stdin = "x".repeat(120 << 10);
    for _ in 0..110 {
        let body = json!({"sessionId": session, "command": "true", "stdin": stdin});
        let answer = pair.mallory.post("/shell/execute", &body).await?;
        ensure!(matches!(answer.status, 202 | 413 | 429), "{}", answer.body);
    }
    let path = format!("/sessions/{session}/jobs?limit=100");
    let reading = async {
        loop {
            // The server may refuse more requests of one user.
            let _ = pair.mallory.get(&path).await;
        }
    };
    let readers = futures::future::join_all((0..16).map(|_| async {
        loop {
            let _ = pair.mallory.get(&path).await;
        }
    }));
    tokio::select! {
        served = pair.is_served() => served?,
        () = reading => {}
        _ = readers => {}
    }
    pair.mallory.stop(&session).await?;
    pair.alice.stop(&pair.victim).await?;
    Ok(None)
}

/// Deliveries to an endpoint that never answers.
async fn tarpit(server: &Server) -> Result<Option<String>> {
    let open = Server::start(server.program(), &["--webhook-allow-private"]).await?;
    let pair = Pair::new(&open, "tarpit").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let webhook = json!({"url": url, "events": ["job.completed"]});
    let session = pair.mallory.ready_with(&json!({"webhook": webhook})).await?;
    let mut held = Vec::new();
    for _ in 0..700 {
        let body = json!({"sessionId": session, "command": ["true"], "concurrency": "parallel"});
        let answer = pair.mallory.post("/shell/execute", &body).await?;
        ensure!(matches!(answer.status, 202 | 429), "{}", answer.body);
    }
    let sink = client::WebhookSink::open().await?;
    let webhook = json!({"url": sink.url(), "events": ["session.ready"]});
    let began = Instant::now();
    let other = pair.alice.ready_with(&json!({"webhook": webhook})).await?;
    while sink.calls().is_empty() {
        ensure!(
            began.elapsed() < SERVED_WITHIN,
            "the victim's webhook waits {:?}",
            began.elapsed()
        );
        // Connections of the tarpit stay open.
        if let Ok(Ok((stream, _))) =
            tokio::time::timeout(Duration::from_millis(20), listener.accept()).await
        {
            held.push(stream);
        }
    }
    for (user, session) in
        [(&pair.alice, &other), (&pair.alice, &pair.victim), (&pair.mallory, &session)]
    {
        user.stop(session).await?;
    }
    open.stop().await?;
    Ok(None)
}
