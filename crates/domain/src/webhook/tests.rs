use ulid::Ulid;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn pending() -> Pending {
    Pending::new(Payload {
        id: DeliveryId::from_ulid(Ulid::from_parts(1, 1)),
        user: UserId::new("u"),
        session: SessionId::from_ulid(Ulid::from_parts(1, 2)),
        event: EventType::SessionReady,
        body: Secret::new("{}".into()),
        created_at: at(0),
    })
}

fn refused(seconds: i64) -> Attempt {
    Attempt { at: at(seconds), status: Some(500), error: None }
}

#[test]
fn a_delivery_that_never_succeeds_is_dead_after_eight_attempts() {
    let mut delivery: Delivery = pending().into();
    let mut tries = 0;
    while let Delivery::Pending(pending) = delivery {
        let now = pending.due_at();
        delivery = pending.begin(now).failed(refused(0), None, 0.5, now);
        tries += 1;
    }
    assert_eq!(tries, 8);
    assert_eq!(delivery.attempts().len(), 8);
}

#[test]
fn the_endpoint_may_request_a_longer_delay_of_up_to_a_day() {
    let delay = |requested| {
        let next = pending().begin(at(0)).failed(refused(0), Some(requested), 0.0, at(0));
        next.due_at().unwrap().since(at(0))
    };
    assert_eq!(delay(Duration::from_secs(1)), Duration::from_secs(5));
    assert_eq!(delay(Duration::from_mins(2)), Duration::from_mins(2));
    assert_eq!(delay(Duration::from_hours(9999)), Duration::from_hours(24));
}

#[test]
fn a_redelivery_keeps_the_id_and_restarts_the_schedule() {
    let finished = pending().begin(at(0)).delivered(refused(0), at(1));
    let again = finished.clone().redeliver(at(9));
    assert_eq!(again.payload().id, finished.payload.id);
    assert_eq!(again.due_at(), at(9));
}

#[test]
fn an_endpoint_that_is_gone_gets_no_events() {
    let mut endpoint = Endpoint {
        url: Secret::default(),
        events: vec![EventType::JobLost],
        secret: Secret::default(),
        gone: false,
    };
    assert!(endpoint.wants(EventType::JobLost));
    assert!(!endpoint.wants(EventType::SessionReady));
    endpoint.gone = true;
    assert!(!endpoint.wants(EventType::JobLost));
}
