use std::time::Duration;

use domain::{
    DeliveryId, Secret,
    message::Message,
    ports::{Expect, Ids, PostError, Posted, Store, Write},
    session::{Queued, Spec},
    timeline::{Actor, Stamp},
    webhook::{Delivery, Endpoint, EventType, Payload, Pending},
};
use testkit::{Fakes, job_id, session_id, spec, user_id};

use crate::{Env, tests::env};

/// A session with an endpoint, and a delivery to it that is due.
fn owed() -> (Fakes, DeliveryId) {
    let fakes = Fakes::new();
    let endpoint = Endpoint {
        url: Secret::new("https://example.com/".into()),
        events: Vec::new(),
        secret: Secret::new("whsec_c2VjcmV0".into()),
        gone: false,
    };
    let spec = Spec { webhook: Some(endpoint), ..spec() };
    let stamp = Stamp::new(Actor::User, fakes.now());
    let session =
        Queued::accept(session_id("s"), user_id(), job_id("j"), spec, stamp).any().session;
    let id = DeliveryId::from_ulid(fakes.ids.ulid());
    let payload = Payload {
        id,
        user: user_id(),
        session: session_id("s"),
        event: EventType::SessionReady,
        body: Secret::new("{}".into()),
        created_at: fakes.now(),
    };
    let writes = [
        Write::Session(Box::new(session), Expect::New),
        Write::Delivery(Box::new(Pending::new(payload).into()), Expect::New),
    ];
    fakes.store.apply(&writes).unwrap();
    (fakes, id)
}

async fn deliver(env: &Env, delivery: DeliveryId) {
    crate::handle(env, Message::DeliverWebhook { delivery }).await.unwrap();
}

async fn pending(fakes: &Fakes, id: DeliveryId) -> Pending {
    let read = fakes.store.delivery(id).await.unwrap().unwrap();
    let Delivery::Pending(pending) = read.value else { panic!("{read:?} is over") };
    pending
}

#[tokio::test]
async fn the_first_attempt_waits_less_than_the_later_ones() {
    let (fakes, id) = owed();
    fakes.webhooks.answer(Err(PostError::TimedOut));
    deliver(&env(&fakes), id).await;
    fakes.clock.set(pending(&fakes, id).await.due_at());
    deliver(&env(&fakes), id).await;
    let timeouts: Vec<_> = fakes.webhooks.posts().iter().map(|post| post.timeout).collect();
    assert_eq!(timeouts, [Duration::from_secs(3), Duration::from_secs(10)]);
    assert!(fakes.webhooks.posts().iter().all(|post| post.user == user_id()));
}

#[tokio::test]
async fn a_delivery_to_an_endpoint_that_rests_waits_without_losing_an_attempt() {
    let (fakes, id) = owed();
    for _ in 0..20 {
        let rest = Duration::from_secs(40);
        fakes.webhooks.answer(Err(PostError::Resting(rest)));
        deliver(&env(&fakes), id).await;
        let waiting = pending(&fakes, id).await;
        assert_eq!((waiting.due_at(), waiting.tries()), (fakes.now() + rest, 0));
        assert_eq!(Delivery::from(waiting.clone()).attempts(), []);
        let again = fakes.queue.take_held();
        assert_eq!(again.last().map(|held| held.due), Some(waiting.due_at()));
        fakes.clock.set(waiting.due_at());
    }
    fakes.webhooks.answer(Ok(Posted { status: 204, retry_after: None }));
    deliver(&env(&fakes), id).await;
    let read = fakes.store.delivery(id).await.unwrap().unwrap().value;
    assert!(matches!(&read, Delivery::Finished(_)));
    assert_eq!(read.attempts().len(), 1);
}

#[tokio::test]
async fn a_forbidden_address_and_a_failed_connection_look_the_same() {
    let mut errors = Vec::new();
    for error in [PostError::Forbidden, PostError::Failed] {
        let (fakes, id) = owed();
        fakes.webhooks.answer(Err(error));
        deliver(&env(&fakes), id).await;
        let delivery = Delivery::from(pending(&fakes, id).await);
        errors.push(delivery.attempts()[0].error.clone());
    }
    assert!(errors[0].is_some());
    assert_eq!(errors[0], errors[1]);
}
