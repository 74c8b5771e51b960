use axum::{Json, Router, extract::State, routing::post};
use domain::{EventId, Secret, Timestamp, webhook::EventType};
use serde_json::{Value, json};
use testkit::{job_id, session_id, user_id};
use tokio::sync::mpsc;

use super::*;
use crate::env;

/// A bus at a server that refuses the events of these sessions, and what that server receives.
async fn bus(refused: &'static [&str]) -> (EventBus, mpsc::UnboundedReceiver<Value>) {
    let (seen, requests) = mpsc::unbounded_channel();
    let answer = async move |State(seen): State<mpsc::UnboundedSender<Value>>, body: String| {
        let request: Value = serde_json::from_str(&body).unwrap();
        let entries = request["Entries"].as_array().unwrap().iter().map(|entry| {
            let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
            let is_refused =
                refused.iter().any(|name| detail["sessionId"] == session_id(name).to_string());
            if is_refused {
                json!({"ErrorCode": "ThrottlingException"})
            } else {
                json!({"EventId": "1"})
            }
        });
        let answer = json!({"FailedEntryCount": 0, "Entries": entries.collect::<Vec<_>>()});
        seen.send(request).unwrap();
        Json(answer)
    };
    let router = Router::new().route("/", post(answer)).with_state(seen);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });
    let variables = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &url),
        ("EPHEMERAL_BUS", "bus"),
    ];
    let variables: HashMap<String, String> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    (env::bus(&variables.into()).unwrap(), requests)
}

fn event(name: &str) -> UserEvent {
    UserEvent {
        id: EventId::from_ulid(session_id(name).ulid()),
        user: user_id(),
        session: session_id(name),
        job: Some(job_id(name)),
        event: EventType::JobCompleted,
        at: Timestamp::from_millis(1_767_225_600_000),
        expires_at: Timestamp::from_millis(0),
        body: Secret::new(json!({"type": "job.completed", "data": {"exitCode": 3}}).to_string()),
    }
}

fn batch(names: &[&str]) -> Batch {
    let records = names.iter().map(|name| {
        let record = match *name {
            "damaged" => "{".to_owned(),
            name => serde_json::to_string(&event(name)).unwrap(),
        };
        json!({
            "eventName": "INSERT",
            "dynamodb": {
                "SequenceNumber": name,
                "NewImage": {"pk": {"S": "events#u"}, "ttl": {"N": "1"}, "record": {"S": record}},
            },
        })
    });
    serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap()
}

fn failures(response: &BatchResponse) -> Vec<&str> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

#[tokio::test]
async fn an_event_of_the_stream_is_put_on_the_bus_with_its_type_and_data() {
    let (bus, mut requests) = bus(&[]).await;
    let response = handle(&bus, batch(&["a"])).await;
    assert!(failures(&response).is_empty());
    let request = requests.recv().await.unwrap();
    let entry = &request["Entries"][0];
    assert_eq!(
        (&entry["EventBusName"], &entry["Source"], &entry["DetailType"]),
        (&json!("bus"), &json!("ephemeral"), &json!("job.completed"))
    );
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail["eventId"], event("a").id.to_string());
    assert_eq!((&detail["jobId"], &detail["user"]), (&json!(job_id("a")), &json!(user_id())));
    assert_eq!(detail["data"], json!({"exitCode": 3}));
}

#[tokio::test]
async fn the_batch_is_repeated_from_the_first_event_that_was_refused() {
    let (bus, _requests) = bus(&["b"]).await;
    let response = handle(&bus, batch(&["a", "b", "c"])).await;
    assert_eq!(failures(&response), ["b"]);
}

#[tokio::test]
async fn more_events_than_one_call_takes_are_put_by_several() {
    let names: Vec<String> = (0..23).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (bus, mut requests) = bus(&[]).await;
    let response = handle(&bus, batch(&names)).await;
    assert!(failures(&response).is_empty());
    for count in [10, 10, 3] {
        assert_eq!(requests.recv().await.unwrap()["Entries"].as_array().unwrap().len(), count);
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_decoded_does_not_stop_the_others() {
    let (bus, mut requests) = bus(&[]).await;
    let response = handle(&bus, batch(&["damaged", "a"])).await;
    assert!(failures(&response).is_empty());
    assert_eq!(requests.recv().await.unwrap()["Entries"].as_array().unwrap().len(), 1);
}
