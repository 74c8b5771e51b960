//! The cost of a session and its commands with the real handlers: calls and capacity units.

use std::{sync::Arc, time::Duration};

use adapters::clock::SystemClock;
use aws::store::DynamoStore;
use aws_sdk_dynamodb::Client;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use domain::{
    SessionId, UserId, message::Message, ports::Clock as _, session::Status, task::TaskStatus,
};
use handlers::{Env, Policy, Step, http::Caller};
use serde_json::{Value, json};
use testkit::{Fakes, Script};
use tower::ServiceExt as _;

use super::{
    Emulator,
    meter::{Meter, Reading},
};

/// As long as the subjects of Cognito.
const USER: &str = "74a854d8-00a1-70c2-6d0f-3f2a1b5c9e7d";
/// As long as the tokens of Step Functions.
const TOKEN: usize = 700;

struct Fixture {
    fakes: Fakes,
    env: Env,
    router: Router,
    meter: Meter,
}

impl Fixture {
    async fn create(emulator: &Emulator) -> Self {
        let (meter, fakes) = (Meter::default(), Fakes::new());
        // The store compares times of expiry with the machine's clock.
        fakes.clock.advance(SystemClock.now().since(fakes.now()));
        let client = Client::from_conf(emulator.config().interceptor(meter.clone()).build());
        let env = Env {
            store: Arc::new(DynamoStore::new(client, emulator.table().await)),
            worker: "01KAT2M0Z8N5W3VQ6Y7XB9D4CE".into(),
            ..testkit::env_of!(Env, &fakes, policy())
        };
        let router = handlers::http::router(env.clone());
        Self { fakes, env, router, meter }
    }

    async fn request(&self, request: Request<Body>) -> Value {
        let Ok(response) = self.router.clone().oneshot(request).await;
        assert!(response.status().is_success(), "{response:?}");
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn post(&self, path: &str, body: Value, key: Option<&str>) -> Value {
        let mut request = Request::post(path).header("Content-Type", "application/json");
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let request =
            request.extension(Caller(UserId::new(USER))).body(Body::from(body.to_string()));
        self.request(request.unwrap()).await
    }

    async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).extension(Caller(UserId::new(USER))).body(Body::empty());
        self.request(request.unwrap()).await
    }

    /// Advances the clock and runs a state of the state machine.
    async fn run(&self, step: Step, input: Value) {
        self.fakes.clock.advance(Duration::from_millis(100));
        step.run(&self.env, input).await.unwrap();
    }

    /// Handles messages and events until none is left.
    async fn deliver(&self) {
        loop {
            let events = self.fakes.compute.take_events().into_iter();
            let mut messages = self.fakes.queue.take_ready(self.fakes.now());
            messages.extend(events.map(|facts| Message::TaskEvent { facts }));
            if messages.is_empty() {
                return;
            }
            for message in messages {
                self.fakes.clock.advance(Duration::from_millis(100));
                handlers::handle(&self.env, message).await.unwrap();
            }
        }
    }

    async fn tasks_become(&self, status: TaskStatus) {
        for facts in self.fakes.compute.tasks() {
            self.fakes.compute.advance(&facts.task, status);
        }
        self.deliver().await;
    }

    async fn status(&self, id: SessionId) -> Status {
        self.env.store.session(id).await.unwrap().unwrap().value.status()
    }

    /// Starts a session and makes it ready, with the calls that its execution makes.
    async fn ready(&self) -> SessionId {
        let started = self.post("/v1/shell/start", json!({}), None).await;
        let id: SessionId = started["sessionId"].as_str().unwrap().parse().unwrap();
        self.deliver().await;
        self.run(Step::ProvisionTask, json!({"sessionId": id})).await;
        self.run(Step::AwaitRunning, waits(id, 'a')).await;
        self.tasks_become(TaskStatus::Running).await;
        self.run(Step::AwaitEnd, waits(id, 'b')).await;
        id
    }

    /// Runs the sweep after this time.
    async fn sweep(&self, after: Duration) -> Reading {
        self.fakes.clock.advance(after);
        handlers::sweep(&self.env).await.unwrap();
        self.meter.take()
    }

    async fn stop(&self, id: SessionId) {
        self.post("/v1/shell/stop", json!({"sessionId": id}), None).await;
        self.deliver().await;
        self.run(Step::StopTask, waits(id, 'c')).await;
        self.tasks_become(TaskStatus::Stopped).await;
        self.run(Step::CloseSession, json!({"sessionId": id})).await;
    }
}

fn waits(id: SessionId, token: char) -> Value {
    json!({"sessionId": id, "token": token.to_string().repeat(TOKEN), "waitSeconds": 3600})
}

fn policy() -> Policy {
    Policy {
        streaming: false,
        claims_by_message: true,
        jobs_expire: true,
        worker_hold: Duration::from_secs(20),
        ready_recheck: Duration::from_mins(10),
        ..Policy::default()
    }
}

fn show(what: &str, reading: &Reading) {
    let Reading { written, read, calls } = reading;
    println!(
        "{what}: {written} write units, {read} read units, {} calls {calls:?}",
        reading.all_calls()
    );
}

#[tokio::test]
async fn a_command_costs_what_the_decision_says() {
    let Some(emulator) = Emulator::start() else { return };
    let fixture = Fixture::create(&emulator).await;
    let line = "cargo test --workspace 2>&1 | tail -n 40";
    fixture.fakes.shell.script(line, Script::prints(&"ok\n".repeat(100)).exits(0));
    let id = fixture.ready().await;
    assert_eq!(fixture.status(id).await, Status::Ready);
    fixture.meter.take();

    let body = json!({"sessionId": id, "command": line});
    let accepted = fixture.post("/v1/shell/execute", body.clone(), None).await;
    let accept = fixture.meter.take();
    show("accept", &accept);
    fixture.deliver().await;
    let run = fixture.meter.take();
    show("run", &run);
    let job = fixture.get(accepted["links"]["job"].as_str().unwrap()).await;
    assert_eq!(job["status"], "completed", "{job}");
    show("read", &fixture.meter.take());

    fixture.post("/v1/shell/execute", body, Some("7f1cf2ab-9c2b-4d0e-a8c5-8f1de62c9f10")).await;
    let with_key = fixture.meter.take();
    show("accept with a key", &with_key);
    assert_eq!((accept.written, run.written, with_key.written), (5.0, 9.0, 7.0));
    assert_eq!((accept.all_calls(), run.all_calls()), (2, 6));
}

#[tokio::test]
async fn a_sweep_and_the_removal_of_a_session_cost_what_the_decision_says() {
    let Some(emulator) = Emulator::start() else { return };
    let fixture = Fixture::create(&emulator).await;
    let id = fixture.ready().await;
    for _ in 0..2 {
        let body = json!({"sessionId": id, "command": "true"});
        fixture.post("/v1/shell/execute", body, None).await;
        fixture.deliver().await;
    }
    fixture.meter.take();
    let empty = fixture.sweep(Duration::ZERO).await;
    show("a sweep without due records", &empty);
    let checked = fixture.sweep(Duration::from_mins(11)).await;
    show("a sweep that checks a ready session", &checked);
    fixture.stop(id).await;
    fixture.meter.take();
    let forgotten = fixture.sweep(Duration::from_hours(8 * 24)).await;
    show("a sweep that forgets a session with 2 commands", &forgotten);
    assert!(fixture.env.store.session(id).await.unwrap().is_none());
    assert!(empty.written == 0.0 && checked.written <= 8.0 && forgotten.written <= 13.0);
}

#[tokio::test]
async fn a_session_costs_what_the_decision_says() {
    let Some(emulator) = Emulator::start() else { return };
    let fixture = Fixture::create(&emulator).await;
    let id = fixture.ready().await;
    let start = fixture.meter.take();
    show("start", &start);
    fixture.stop(id).await;
    let stop = fixture.meter.take();
    show("stop", &stop);
    assert_eq!(fixture.status(id).await, Status::Stopped);
    assert!(start.written + stop.written <= 73.0);
}
