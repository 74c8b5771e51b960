use std::{
    fs::{self, OpenOptions},
    io::Read,
    os::unix::fs::PermissionsExt,
};

use axum::http::HeaderMap;
use domain::{
    EventId,
    ports::{Store, Write},
    user_event::UserEvent,
    webhook::EventType,
};
use serde_json::Value;
use tempfile::{TempDir, tempdir};
use testkit::{session_id, user_id};
use tokio::sync::mpsc;

use super::*;
use crate::store::SqliteStore;

struct Fixture {
    dir: TempDir,
    db: Database,
    listeners: Arc<ChangeListeners>,
    store: SqliteStore,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let db = Database::open(dir.path()).unwrap();
        let listeners = Arc::<ChangeListeners>::default();
        let store = SqliteStore::new(db.clone(), Arc::clone(&listeners));
        Self { dir, db, listeners, store }
    }

    async fn add(&self, name: &str) {
        let event = UserEvent {
            id: EventId::from_ulid(session_id(name).ulid()),
            user: user_id(),
            session: session_id(name),
            job: None,
            event: EventType::SessionReady,
            at: domain::Timestamp::from_millis(0),
            expires_at: domain::Timestamp::from_millis(0),
            body: Secret::new(format!(r#"{{"type":"session.ready","data":{{"of":"{name}"}}}}"#)),
        };
        self.store.commit(vec![Write::UserEvent(Box::new(event))]).await.unwrap();
    }

    async fn publish_to(&self, destination: impl Destination + 'static) -> Publisher {
        let destinations: Vec<Box<dyn Destination>> = vec![Box::new(destination)];
        Publisher::start(&self.db, &self.listeners, destinations).await.unwrap()
    }

    /// All events, as a destination gets them.
    async fn events(&self) -> Vec<PublishedEvent> {
        position::create(&self.db, "first").await.unwrap();
        position::advance(&self.db, "first", 0).await.unwrap();
        position::after(&self.db, "first", 10).await.unwrap().1
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("events.jsonl")
    }
}

/// Passes on what it accepts, and refuses the events that a test names, once each.
struct Probe {
    refused: Vec<&'static str>,
    accepted: mpsc::UnboundedSender<String>,
}

fn probe(refused: &[&'static str]) -> (Probe, mpsc::UnboundedReceiver<String>) {
    let (accepted, received) = mpsc::unbounded_channel();
    (Probe { refused: refused.to_vec(), accepted }, received)
}

fn name(event: &PublishedEvent) -> String {
    event.json()["data"]["of"].as_str().unwrap().to_owned()
}

#[async_trait]
impl Destination for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    async fn deliver(&mut self, events: &[PublishedEvent]) -> (usize, Result<(), DeliverError>) {
        for (arrived, event) in events.iter().enumerate() {
            let name = name(event);
            if let Some(at) = self.refused.iter().position(|refused| *refused == name) {
                self.refused.remove(at);
                return (arrived, Err(DeliverError::new("refused", None)));
            }
            self.accepted.send(name).unwrap();
        }
        (events.len(), Ok(()))
    }
}

#[tokio::test]
async fn a_new_destination_gets_what_happens_from_then_on() {
    let fixture = Fixture::new();
    fixture.add("before").await;
    let (probe, mut received) = probe(&[]);
    let publisher = fixture.publish_to(probe).await;
    fixture.add("a").await;
    assert_eq!(received.recv().await.unwrap(), "a");
    fixture.add("b").await;
    assert_eq!(received.recv().await.unwrap(), "b");
    publisher.stop().await;
}

#[tokio::test]
async fn a_destination_that_was_left_gets_what_happened_meanwhile() {
    let fixture = Fixture::new();
    let (first, mut received) = probe(&[]);
    let publisher = fixture.publish_to(first).await;
    fixture.add("a").await;
    assert_eq!(received.recv().await.unwrap(), "a");
    publisher.stop().await;
    fixture.add("b").await;
    let (second, mut received) = probe(&[]);
    let publisher = fixture.publish_to(second).await;
    assert_eq!(received.recv().await.unwrap(), "b");
    publisher.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_refused_is_sent_again_and_none_twice() {
    let fixture = Fixture::new();
    let (probe, mut received) = probe(&["b"]);
    let publisher = fixture.publish_to(probe).await;
    for name in ["a", "b", "c"] {
        fixture.add(name).await;
    }
    for name in ["a", "b", "c"] {
        assert_eq!(received.recv().await.unwrap(), name);
    }
    publisher.stop().await;
    assert_eq!(received.recv().await, None);
}

#[tokio::test]
async fn the_log_has_a_line_for_each_event_and_only_its_owner_reads_it() {
    let fixture = Fixture::new();
    for name in ["a", "b"] {
        fixture.add(name).await;
    }
    let events = fixture.events().await;
    let mut log = LogFile::open(fixture.log()).unwrap();
    let (arrived, result) = log.deliver(&events).await;
    assert!(arrived == 2 && result.is_ok(), "{result:?}");
    assert_eq!(fs::metadata(fixture.log()).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(fixture.log()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[1]["data"]["of"], &lines[1]["type"]),
        (&"b".into(), &"session.ready".into())
    );
    assert_eq!(lines[1]["user"], user_id().as_str());
}

#[tokio::test]
async fn a_line_that_a_crash_cut_off_does_not_spoil_the_next_one() {
    let fixture = Fixture::new();
    fixture.add("a").await;
    let events = fixture.events().await;
    fs::write(fixture.log(), "{\"cut").unwrap();
    let (_, result) = LogFile::open(fixture.log()).unwrap().deliver(&events).await;
    result.unwrap();
    let text = fs::read_to_string(fixture.log()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "{\"cut");
    assert!(serde_json::from_str::<Value>(lines[1]).is_ok(), "{text}");
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named_at_the_start() {
    let config = EventsConfig { log: Some("/nonexistent/file".into()), url: None };
    let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock);
    let refused = destinations(&config, None, &clock).map(|_| ()).unwrap_err();
    assert_eq!(refused.0, PathBuf::from("/nonexistent/file"));
}

#[tokio::test]
async fn a_pipe_gets_each_event_once() {
    let fixture = Fixture::new();
    fixture.add("a").await;
    let pipe = fixture.dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // Linux opens a pipe for both directions without another end.
    let mut reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let (arrived, result) = LogFile::open(pipe).unwrap().deliver(&fixture.events().await).await;
    assert!(arrived == 1 && result.is_ok(), "{result:?}");
    let mut line = [0; 4096];
    let count = reader.read(&mut line).unwrap();
    let lines = line[..count].iter().filter(|byte| **byte == b'\n').count();
    assert_eq!((lines, line[count - 1]), (1, b'\n'));
}

#[tokio::test]
async fn the_endpoint_gets_each_event_signed_and_under_one_id() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let handle = async move |headers: HeaderMap, body: String| {
        seen.send((headers, body)).unwrap();
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/events", axum::routing::post(handle));
    let serving = tokio::spawn(async { axum::serve(listener, router).await });

    let fixture = Fixture::new();
    fixture.add("a").await;
    let key = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock);
    let mut endpoint = Endpoint::new(Secret::new(url), key.clone(), clock);
    for _ in 0..2 {
        let (arrived, result) = endpoint.deliver(&fixture.events().await).await;
        assert!(arrived == 1 && result.is_ok(), "{result:?}");
        let (headers, body) = requests.recv().await.unwrap();
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let id = EventId::from_ulid(session_id("a").ulid()).to_string();
        assert_eq!(header("webhook-id"), id);
        let timestamp = header("webhook-timestamp").parse().unwrap();
        let expected = handlers::sign_webhook(&key, &id, timestamp, &body).unwrap();
        assert_eq!(header("webhook-signature"), *expected.expose());
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["user"], user_id().as_str());
    }
    serving.abort();
    let (arrived, result) = endpoint.deliver(&fixture.events().await).await;
    assert_eq!(arrived, 0);
    result.unwrap_err();
}
