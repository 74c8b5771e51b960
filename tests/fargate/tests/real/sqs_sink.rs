//! A stand-in for SQS that records messages.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use crate::server::TIME_LIMIT;

#[derive(Clone)]
pub(crate) struct SqsSink {
    pub(crate) url: String,
    events: Arc<Mutex<Vec<Value>>>,
}

impl SqsSink {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/000000000000/task-events", listener.local_addr().unwrap());
        let sink = Self { url, events: Arc::default() };
        let router = Router::new().route("/", post(take)).with_state(sink.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        sink
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.events.lock().clone()
    }

    /// Waits until the events satisfy the condition; returns all events.
    pub(crate) async fn until(&self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + TIME_LIMIT;
        loop {
            let events = self.events();
            if wanted(&events) {
                return events;
            }
            assert!(Instant::now() < deadline, "{events:#?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn take(State(sink): State<SqsSink>, headers: HeaderMap, body: String) -> Json<Value> {
    assert_eq!(headers["x-amz-target"], "AmazonSQS.SendMessage");
    let message: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(message["QueueUrl"], sink.url);
    let event = serde_json::from_str(message["MessageBody"].as_str().unwrap()).unwrap();
    sink.events.lock().push(event);
    Json(json!({ "MessageId": "1" }))
}

/// The status and the version in a task event.
pub(crate) fn step(event: &Value) -> (&str, u64) {
    let detail = &event["detail"];
    (detail["lastStatus"].as_str().unwrap(), detail["version"].as_u64().unwrap())
}

pub(crate) fn has_stopped(events: &[Value]) -> bool {
    events.iter().any(|event| step(event).0 == "STOPPED")
}
