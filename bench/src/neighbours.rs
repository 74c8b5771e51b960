//! N1: what a user's commands take beside other users who misbehave, on the same server and host.

use std::{
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    Bench, api,
    figure::{Figure, Target, percentile},
    http::Connection,
    server::Server,
};

/// Commands of the victim that are measured, unless they take too long.
const ROUNDS: usize = 200;
const MEASURING: Duration = Duration::from_secs(40);
/// What a command counts that has not ended by then.
const GIVEN_UP: Duration = Duration::from_secs(60);
const LARGE_STDIN: usize = 110 << 10;

/// Brings the attack about, and keeps it up until the flag is set.
type Attack = fn(&Victim<'_>) -> Result<()>;

/// What an attack is directed at.
struct Victim<'a> {
    bench: &'a Bench,
    server: &'a Server,
    /// The attack has begun to have its effect.
    begun: &'a AtomicBool,
    /// The attack must end.
    over: &'a AtomicBool,
}

impl Victim<'_> {
    fn user(&self, name: &str) -> Result<Connection> {
        self.server.connect_as(&self.server.add_user(&self.bench.program, name)?)
    }

    /// Notes that the attack has begun, and repeats an action until it must end.
    fn repeat(&self, mut action: impl FnMut()) {
        self.begun.store(true, Relaxed);
        while !self.over.load(Relaxed) {
            action();
        }
    }

    fn wait(&self) {
        self.repeat(|| thread::sleep(Duration::from_millis(20)));
    }
}

const ATTACKS: [(&str, Attack); 6] = [
    ("3 users x 5 sessions x 90 sleeping jobs", sleepers),
    ("40 chatty jobs with large records", chatty),
    ("16 connections that list large jobs", listing),
    ("1,000 idle connections", idle),
    ("a fork storm and a memory hog", storm),
    ("700 deliveries to a tarpit", tarpit),
];

/// N1: the victim's p99 beside each attack, and alone on the same server.
pub(crate) fn figures(bench: &Bench) -> Result<Vec<Figure>> {
    let measured = ATTACKS.iter().filter_map(|(what, attack)| match beside(bench, what, *attack) {
        Ok(figure) => Some(figure),
        Err(error) => {
            eprintln!("N1, {what}: {error:#}");
            None
        }
    });
    Ok(measured.collect())
}

fn beside(bench: &Bench, what: &str, attack: Attack) -> Result<Figure> {
    let dir = tempfile::tempdir()?;
    let server = bench.up_with(dir.path(), 5, 0, &["--webhook-allow-private"])?;
    let mut victim = server.connect()?;
    let session = api::start_ready(&mut victim)?;
    measure(&mut victim, &session);
    let alone = measure(&mut victim, &session);
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let target = Victim { bench, server: &server, begun: &begun, over: &over };
    let loaded = thread::scope(|scope| {
        let attacking = scope.spawn(|| attack(&target));
        while !begun.load(Relaxed) && !attacking.is_finished() {
            thread::sleep(Duration::from_millis(10));
        }
        let loaded = measure(&mut victim, &session);
        over.store(true, Relaxed);
        match attacking.join() {
            Ok(Ok(())) => Ok(loaded),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(anyhow::anyhow!("the attack panicked")),
        }
    });
    drop(victim);
    // Also after an error, because the server leaves its shells running.
    server.down()?;
    let loaded = loaded?;
    let [alone_p50, loaded_p50] = [&alone, &loaded].map(|spans| percentile(spans.clone(), 0.5));
    Ok(Figure {
        id: "N1",
        what: format!("execute beside {what}: p99 (p50: {loaded_p50:.1} ms, alone {alone_p50:.1})"),
        value: percentile(loaded, 0.99),
        unit: "ms",
        peer: Some(("alone", percentile(alone, 0.99))),
        target: Target::AtMost(3.0),
    })
}

/// The times of the victim's commands.
fn measure(api: &mut Connection, session: &str) -> Vec<Duration> {
    let begun = Instant::now();
    let mut spans = Vec::new();
    while spans.len() < ROUNDS && begun.elapsed() < MEASURING {
        spans.push(one(api, session).unwrap_or(GIVEN_UP));
    }
    spans
}

/// The time of one command; an error if the server does not serve the victim.
fn one(api: &mut Connection, session: &str) -> Result<Duration> {
    let sent = Instant::now();
    let job = api::execute(api, session, &["true"])?;
    loop {
        let state = api.get(&format!("/jobs/{job}?waitSeconds=5"))?;
        if !matches!(state["status"].as_str(), Some("queued" | "running")) {
            return Ok(sent.elapsed());
        }
        ensure!(sent.elapsed() < GIVEN_UP, "the command does not end");
    }
}

/// Sends a job; the server may refuse it.
fn send(api: &mut Connection, session: &str, command: &Value, stdin: &str) {
    let body = json!({"sessionId": session, "command": command, "concurrency": "parallel", "stdin": stdin});
    let _refused = api.post("/shell/execute", &body);
}

fn sleepers(target: &Victim<'_>) -> Result<()> {
    for user in ["one", "two", "three"] {
        let mut api = target.user(user)?;
        for _ in 0..5 {
            let session = api::start_ready(&mut api)?;
            (0..90).for_each(|_| send(&mut api, &session, &json!(["sleep", "600"]), ""));
        }
    }
    target.wait();
    Ok(())
}

fn chatty(target: &Victim<'_>) -> Result<()> {
    let mut api = target.user("chatty")?;
    let session = api::start_ready(&mut api)?;
    let stdin = "x".repeat(LARGE_STDIN);
    let command = json!("while :; do echo x; sleep 0.05; done");
    (0..40).for_each(|_| send(&mut api, &session, &command, &stdin));
    target.wait();
    Ok(())
}

fn listing(target: &Victim<'_>) -> Result<()> {
    let mut api = target.user("lister")?;
    let session = api::start_ready(&mut api)?;
    let stdin = "x".repeat(LARGE_STDIN);
    send(&mut api, &session, &json!(["sleep", "600"]), "");
    for _ in 0..110 {
        let body = json!({"sessionId": session, "command": "true", "stdin": stdin});
        let _refused = api.post("/shell/execute", &body);
    }
    let token = target.server.add_user(&target.bench.program, "lister")?;
    let path = format!("/sessions/{session}/jobs?limit=100");
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut api = target.server.connect_as(&token).ok();
                target.repeat(|| {
                    // What a client does with the response would take the same processors here.
                    let answered = api.as_mut().map(|api| api.status_of(&path));
                    if !matches!(answered, Some(Ok(200))) {
                        thread::sleep(Duration::from_millis(20));
                        api = target.server.connect_as(&token).ok();
                    }
                });
            });
        }
    });
    Ok(())
}

fn idle(target: &Victim<'_>) -> Result<()> {
    let address = target.server.address();
    let open = |_| TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok();
    let connections: Vec<TcpStream> = (0..1000).filter_map(open).collect();
    target.wait();
    drop(connections);
    Ok(())
}

fn storm(target: &Victim<'_>) -> Result<()> {
    let mut api = target.user("storm")?;
    let commands =
        ["b() { b | b & }; while :; do b; done", "while :; do head -c 1G /dev/zero | tail; done"];
    for command in commands {
        let session = api::start_ready(&mut api)?;
        send(&mut api, &session, &json!(command), "");
    }
    target.wait();
    Ok(())
}

fn tarpit(target: &Victim<'_>) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    listener.set_nonblocking(true)?;
    let mut api = target.user("tarpit")?;
    let webhook = json!({"url": url, "events": ["job.completed"]});
    let body = json!({"ttlSeconds": 3600, "webhook": webhook});
    let started = api.post("/shell/start", &body)?;
    let session = started["sessionId"].as_str().unwrap_or_default().to_owned();
    (0..700).for_each(|_| send(&mut api, &session, &json!(["true"]), ""));
    let mut held = Vec::new();
    target.repeat(|| match listener.accept() {
        Ok((stream, _)) => held.push(stream),
        Err(_) => thread::sleep(Duration::from_millis(5)),
    });
    Ok(())
}
