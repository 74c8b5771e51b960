use domain::{
    DeliveryId, Secret, UserId,
    message::Message,
    ports::{Expect, Write},
    webhook::{Attempt, Delivery, EventType, Payload, Pending},
};
use serde_json::json;
use testkit::session_id;

use super::*;

const LIST: &str = "/v1/webhooks/deliveries";

fn id(number: u8) -> DeliveryId {
    DeliveryId::from_ulid(session_id(&number.to_string()).ulid())
}

fn pending(fakes: &Fakes, number: u8, session: &str, user: UserId) -> Pending {
    Pending::new(Payload {
        id: id(number),
        user,
        session: session_id(session),
        event: EventType::JobCompleted,
        body: Secret::new("hidden".into()),
        created_at: fakes.now(),
    })
}

fn put(fakes: &Fakes, delivery: impl Into<Delivery>) {
    let write = Write::Delivery(Box::new(delivery.into()), Expect::New);
    fakes.store.apply(&[write]).unwrap();
}

fn tried(fakes: &Fakes, status: u16) -> Attempt {
    Attempt { at: fakes.now(), status: Some(status), error: None }
}

/// Delivery 1 is pending, 2 is delivered, 3 is disabled, 4 is Bob's.
fn fakes() -> Fakes {
    let fakes = Fakes::new();
    let now = fakes.now();
    put(&fakes, pending(&fakes, 1, "s", user_id()));
    put(&fakes, pending(&fakes, 2, "s", user_id()).begin(now).delivered(tried(&fakes, 204), now));
    let gone = Some(tried(&fakes, 410));
    put(&fakes, pending(&fakes, 3, "t", user_id()).begin(now).disabled(gone, now));
    put(&fakes, pending(&fakes, 4, "u", bob()).begin(now).delivered(tried(&fakes, 200), now));
    fakes
}

#[tokio::test]
async fn deliveries_are_listed_without_their_bodies() {
    let api = Api::new(fakes());
    let list = api.get(&format!("{LIST}?limit=2")).await.expect(200);
    assert!(!list.to_string().contains("hidden"));
    let next = list["nextCursor"].as_str().unwrap();
    let rest = api.get(&format!("{LIST}?limit=2&cursor={next}")).await.expect(200);
    let both = [&list, &rest].map(|list| list["data"].as_array().unwrap().clone()).concat();
    let statuses: Vec<_> = both.iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["disabled", "delivered", "pending"]);
    assert_eq!(both[1]["attempts"][0]["status"], 204);
}

#[tokio::test]
async fn deliveries_are_listed_by_session() {
    let api = Api::new(fakes());
    let list = api.get(&format!("{LIST}?sessionId={}", session_id("t"))).await.expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let list = api.get(&format!("{LIST}?sessionId={}", session_id("u"))).await.expect(200);
    assert_eq!(list["data"], json!([]));
    api.get(&format!("{LIST}?sessionId=x")).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_settled_delivery_is_sent_again() {
    let api = Api::new(fakes());
    let answer = api.post(&format!("{LIST}/{}/redeliver", id(2)), json!({})).await;
    let body = answer.expect(202);
    assert_eq!((&body["status"], &body["deliveryId"]), (&json!("pending"), &json!(id(2))));
    assert_eq!(api.messages(), [Message::DeliverWebhook { delivery: id(2) }]);
}

#[tokio::test]
async fn a_pending_a_disabled_and_another_users_delivery_are_not_sent_again() {
    let api = Api::new(fakes());
    for (number, status, code) in
        [(1, 409, "delivery_pending"), (3, 409, "endpoint_disabled"), (4, 404, "not_found")]
    {
        let answer = api.post(&format!("{LIST}/{}/redeliver", id(number)), json!({})).await;
        answer.problem(status, code);
    }
    api.post(&format!("{LIST}/msg_1/redeliver"), json!({})).await.problem(404, "not_found");
    api.post(&format!("{LIST}/{}/redeliver", id(2)), json!({"x": 1})).await.refused_at(&["/x"]);
    assert_eq!(api.messages(), []);
}
