//! Endpoints that answer slowly, or never.

use async_trait::async_trait;
use domain::{
    DeliveryId, Secret, UserId,
    ports::{PostError, Posted, SignedPost},
    webhook::{Endpoint, EventType, Payload, Pending},
};
use tokio::sync::Notify;

use super::*;

/// Answers all posts but those to one endpoint, which never get an answer.
#[derive(Default)]
struct Endpoints {
    answered: Notify,
}

const SILENT: &str = "https://silent.example";

#[async_trait]
impl Webhooks for Endpoints {
    async fn post(&self, post: &SignedPost) -> Result<Posted, PostError> {
        if post.url.expose() == SILENT {
            return std::future::pending().await;
        }
        self.answered.notify_one();
        Ok(Posted { status: 200, retry_after: None })
    }
}

impl Fixture {
    /// Owes a user deliveries to this endpoint, which are due, and sends their messages.
    async fn owe(&self, engine: &Engine, user: &str, url: &str, count: u32) {
        let (user, session, now) = (UserId::new(user), session_id(user), self.fakes.clock.now());
        let endpoint = Endpoint {
            url: Secret::new(url.to_owned()),
            events: Vec::new(),
            secret: Secret::new("whsec_c2VjcmV0".to_owned()),
            gone: false,
        };
        let spec = domain::session::Spec { webhook: Some(endpoint), ..spec() };
        let stamp = Stamp::new(Actor::User, now);
        let accepted = Queued::accept(session, user.clone(), job_id("j"), spec, stamp).any();
        let mut writes = vec![Write::Session(Box::new(accepted.session), Expect::New)];
        let ids = (0..count).map(|n| session_id(&format!("{user}{n}")).ulid());
        let ids: Vec<_> = ids.map(DeliveryId::from_ulid).collect();
        for id in &ids {
            let payload = Payload {
                id: *id,
                user: user.clone(),
                session,
                event: EventType::SessionReady,
                body: Secret::new("{}".to_owned()),
                created_at: now,
            };
            writes.push(Write::Delivery(Box::new(Pending::new(payload).into()), Expect::New));
        }
        self.store().commit(writes).await.unwrap();
        for delivery in ids {
            let message = Message::DeliverWebhook { delivery };
            engine.queue.send(&message, Duration::ZERO).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_does_not_delay_the_webhooks_of_others() {
    let fixture = Fixture::new().await;
    let endpoints = Arc::new(Endpoints::default());
    let engine = open_with(&fixture.fakes, &fixture.db, endpoints.clone()).await;
    let engine = Arc::new(engine);
    fixture.owe(&engine, "mallory", SILENT, 400).await;
    fixture.owe(&engine, "alice", "https://alice.example", 1).await;
    let running = engine.run();
    let answered = endpoints.answered.notified();
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("alice's is posted");
    drop(running);
}
