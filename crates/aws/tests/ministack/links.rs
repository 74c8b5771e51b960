//! The connections of a runner, whose events come late, twice, in any order, or never. The table is the
//! emulator's; API Gateway and the runner's side are played here, that one with the real `Carrier`.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use aws::link::{Admission, Claims, Connection, Connections, LinkShell};
use aws_sdk_dynamodb::Client;
use axum::{Router, body::Bytes, extract::Path, http::StatusCode, routing::post};
use domain::{TaskId, Timestamp, ports::Shell as _, task::TaskStatus};
use fastrand::Rng;
use link::{
    Action, Carrier,
    frame::{FromRunner, ToRunner},
};
use parking_lot::Mutex;
use runner::protocol::{Event as Answer, Request};
use testkit::{Gate, MemoryCompute, SimClock, job_id};

use crate::{
    server::{Ministack, plain_http},
    store::table,
};

const KEY: [u8; 32] = [7; 32];
const SESSION: &str = "sh_1";
const LAUNCH: &str = "sh_1-a1";

/// The frames that were posted to each connection that API Gateway holds for open.
type Gateway = Arc<Mutex<BTreeMap<String, VecDeque<ToRunner>>>>;

/// What API Gateway tells the function, sooner or later.
#[derive(Debug, Clone)]
enum Event {
    Connect(Connection),
    Frame(Connection, FromRunner),
    Disconnect(Connection),
}

struct Harness {
    rng: Rng,
    connections: Connections,
    shell: LinkShell,
    compute: MemoryCompute,
    task: TaskId,
    gateway: Gateway,
    events: Vec<Event>,
    carrier: Carrier,
    living: Option<Connection>,
    token: Claims,
    attempts: u64,
    now: Duration,
    /// The numbers of the signals that were sent, and of those that came.
    sent: BTreeSet<i32>,
    came: BTreeSet<i32>,
}

/// Accepts what functions post.
async fn serve(gateway: Gateway) -> String {
    let accept = async move |Path(id): Path<String>, body: Bytes| {
        let mut open = gateway.lock();
        let Some(frames) = open.get_mut(&id) else {
            let gone = [("x-amzn-ErrorType", "GoneException")];
            return (StatusCode::GONE, gone, "{}");
        };
        frames.push_back(serde_json::from_slice(&body).unwrap());
        (StatusCode::OK, [("x-amzn-RequestId", "1")], "")
    };
    let router = Router::new().route("/@connections/{id}", post(accept));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

impl Harness {
    async fn new(server: &Ministack, table: &str, url: &str, gateway: Gateway, seed: u64) -> Self {
        let clock = SimClock::at(Timestamp::from_millis(1_767_225_600_000));
        let config = server.config_over(plain_http());
        let client = Client::new(&config);
        let connections =
            Connections::new(&config, (client, table.to_owned()), url, Arc::new(clock.clone()));
        let compute = MemoryCompute::new(clock.clone(), Arc::new(Gate::default()));
        let task = TaskId::new(format!("task-{seed}"));
        compute.adopt(task.clone(), SESSION, TaskStatus::Running);
        Self {
            rng: Rng::with_seed(seed),
            shell: LinkShell::new(connections.clone(), None, Arc::new(clock)),
            connections,
            compute,
            task,
            gateway,
            events: Vec::new(),
            carrier: Carrier::default(),
            living: None,
            token: Claims::first(SESSION, LAUNCH),
            attempts: 0,
            now: Duration::ZERO,
            sent: BTreeSet::new(),
            came: BTreeSet::new(),
        }
    }

    /// The function.
    async fn deliver(&mut self, event: Event) -> Option<ToRunner> {
        match event {
            Event::Connect(connection) => {
                self.connections.admit(&self.compute, &connection).await.unwrap();
                None
            }
            Event::Disconnect(Connection { task, id, .. }) => {
                self.connections.remove(&task, &id).await.unwrap();
                None
            }
            Event::Frame(connection, FromRunner::Hello { .. }) => {
                if self.connections.record(&connection).await.unwrap() == Admission::Refused {
                    return None;
                }
                self.connections.send_requests(&connection).await.unwrap();
                Some(ToRunner::Token { token: connection.claims.next().sign(&KEY) })
            }
            Event::Frame(Connection { task, .. }, FromRunner::Done { id }) => {
                self.connections.confirm(&task, &id).await.unwrap();
                None
            }
            Event::Frame(_, FromRunner::Report(report)) => panic!("{report:?}"),
        }
    }

    /// The runner tries to connect. It may give up before it learns that it was admitted.
    async fn attempt(&mut self, is_given_up: bool) {
        self.attempts += 1;
        let id = format!("{}-{}", self.task, self.attempts);
        let (task, claims, attempt) = (self.task.clone(), self.token.clone(), self.attempts);
        let connection = Connection { task, id, claims, attempt };
        if is_given_up {
            self.events.push(Event::Connect(connection.clone()));
            self.events.push(Event::Disconnect(connection));
            return;
        }
        let admitted = self.connections.admit(&self.compute, &connection).await.unwrap();
        assert_eq!(admitted, Admission::Admitted, "{connection:?}");
        self.gateway.lock().insert(connection.id.clone(), VecDeque::new());
        self.living = Some(connection);
        self.carrier.connected(self.now);
    }

    /// The connection breaks off. API Gateway may notice that later.
    fn lose(&mut self, is_noticed: bool) {
        let Some(connection) = self.living.take() else { return };
        if is_noticed {
            self.gateway.lock().remove(&connection.id);
        }
        self.events.push(Event::Disconnect(connection));
        self.carrier.disconnected();
    }

    /// Does all that the carrier wants.
    fn work(&mut self) {
        while let Some(action) = self.carrier.poll(self.now) {
            match action {
                Action::Send(frame) => {
                    let connection = self.living.clone().expect("nothing is sent otherwise");
                    self.events.push(Event::Frame(connection, frame));
                }
                Action::Ask(number, Request::Signal { signal, .. }) => {
                    assert!(self.came.insert(signal), "signal {signal} came twice");
                    self.carrier.answered(number, Some(&Answer::Ok), self.now);
                }
                Action::Ask(number, Request::Cancel { .. } | Request::SetDeadline { .. }) => {
                    self.carrier.answered(number, Some(&Answer::Ok), self.now);
                }
                Action::UseToken(token) => self.token = Claims::verify(&token, &KEY).unwrap(),
                Action::Ask(..)
                | Action::Open(..)
                | Action::Read(_)
                | Action::Close(_)
                | Action::Request(_) => panic!("the service sends no commands here"),
            }
        }
    }

    /// The runner receives a frame that was posted to its connection.
    fn receive(&mut self) -> bool {
        let Some(connection) = &self.living else { return false };
        let posted = self.gateway.lock().get_mut(&connection.id).and_then(VecDeque::pop_front);
        let is_any = posted.is_some();
        posted.into_iter().for_each(|frame| self.carrier.frame(frame, self.now));
        self.work();
        is_any
    }

    /// An event reaches the function, and its answer the runner if the connection lives. The event may come
    /// again, and the answer may be lost.
    async fn deliver_any(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.events.len());
        let again = self.rng.f64() < 0.2;
        let event = if again { self.events[at].clone() } else { self.events.swap_remove(at) };
        let living = self.living.clone();
        let is_of_living =
            matches!(&event, Event::Frame(connection, _) if Some(connection) == living.as_ref());
        let answer = self.deliver(event).await;
        if is_of_living && self.rng.f64() < 0.8 {
            answer.into_iter().for_each(|answer| self.carrier.frame(answer, self.now));
            self.work();
        }
    }

    async fn signal(&mut self) {
        let number = i32::try_from(self.sent.len()).unwrap() + 1;
        self.sent.insert(number);
        self.shell.signal(&self.task, job_id("j"), number).await.unwrap();
    }

    async fn step(&mut self) {
        match self.rng.u32(..20) {
            0 if self.living.is_none() => self.attempt(true).await,
            0..4 if self.living.is_none() => self.attempt(false).await,
            4 => {
                let is_noticed = self.rng.bool();
                self.lose(is_noticed);
            }
            5 | 6 => self.signal().await,
            7 => self.shell.cancel(&self.task, job_id("j")).await.unwrap(),
            8 => {
                let after = Duration::from_secs(self.rng.u64(60..600));
                self.shell.set_deadline(&self.task, after).await.unwrap();
            }
            9..12 => drop(self.receive()),
            12 if !self.events.is_empty() => {
                let at = self.rng.usize(..self.events.len());
                if matches!(self.events[at], Event::Frame(..)) {
                    self.events.swap_remove(at);
                }
            }
            13 => self.now += Duration::from_secs(3),
            _ => self.deliver_any().await,
        }
        self.work();
    }

    /// One `hello` passes over the living connection, and everything else comes after it.
    async fn settle(&mut self) {
        if self.living.is_none() {
            self.attempt(false).await;
        }
        let living = self.living.clone().unwrap();
        let hello = Event::Frame(living.clone(), FromRunner::Hello { jobs: Vec::new() });
        let token = self.deliver(hello).await.expect("the living connection is recorded");
        self.carrier.frame(token, self.now);
        while !self.events.is_empty() {
            self.rng.shuffle(&mut self.events);
            let event = self.events.pop().unwrap();
            self.deliver(event).await;
        }
        assert_eq!(self.connections.of(&self.task).await.unwrap(), Some(living.id));
        while self.receive() {}
        assert_eq!(self.sent, self.came, "signals were lost");
        // Without another word of the runner.
        self.signal().await;
        assert!(self.receive());
        assert_eq!(self.sent, self.came);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_names_the_living_connection_and_no_request_is_lost() {
    let Some(server) = Ministack::start("dynamodb") else { return };
    table::create(&Client::new(&server.config_over(plain_http())), "links").await;
    let gateway = Gateway::default();
    let url = serve(gateway.clone()).await;
    for seed in 0..30 {
        let mut harness = Harness::new(&server, "links", &url, gateway.clone(), seed).await;
        for _ in 0..50 {
            harness.step().await;
        }
        harness.settle().await;
    }
}
