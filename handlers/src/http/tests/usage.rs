use std::time::Duration;

use domain::{
    Secret,
    cost::{Architecture, Pricing},
    job::{Exit, Outcome},
    message::Message,
    webhook::{Endpoint, EventType},
};
use serde_json::json;
use testkit::session_id;

use super::{jobs::end, *};
use crate::{Step, env::Env};

const PRICING: Pricing = Pricing { architecture: Architecture::Arm64, public_address: false };

fn path() -> String {
    format!("/v1/sessions/{}", session_id("s"))
}

async fn close(env: &Env) {
    let input = json!({"sessionId": session_id("s")});
    Step::CloseSession.run(env, input).await.unwrap();
}

#[tokio::test]
async fn a_session_shows_its_usage_and_its_cost_where_prices_are_configured() {
    let fakes = Fakes::new().with_ready_session("s");
    fakes.clock.advance(Duration::from_secs(90));
    let free = Api::new(fakes.clone()).get(&path()).await.expect(200);
    assert_eq!((&free["usage"], &free["costUsd"]), (&json!({"taskMs": 90_000}), &Value::Null));
    let api = Api::new(fakes).with_policy(|policy| policy.pricing = Some(PRICING));
    let charged = api.get(&path()).await.expect(200);
    let session = api.fakes.session("s");
    let usage = session.usage(api.now());
    let dollars = PRICING.estimate(session.common().spec.size, false, &usage);
    assert_eq!((&charged["costUsd"], &charged["usage"]), (&json!(dollars), &free["usage"]));
}

#[tokio::test]
async fn an_ended_session_shows_the_usage_of_its_commands_and_a_constant_cost() {
    let fakes = Fakes::new()
        .with_ready_session("s")
        .with_queued_job("s", "i", "never run")
        .with_running_job("s", "j", "true");
    end(&fakes, Outcome::Completed { exit: Some(Exit::Code(0)), failure: None });
    let api = Api::new(fakes).with_policy(|policy| policy.pricing = Some(PRICING));
    api.fakes.clock.advance(Duration::from_secs(90));
    // The first call ends the open session, as a failed execution does; the second finds it ended.
    close(&api.env).await;
    let ended = api.get(&path()).await.expect(200);
    let usage = json!({"taskMs": 90_000, "jobs": 1, "wallMs": 3, "cpuMs": 2});
    assert_eq!((&ended["status"], &ended["usage"]), (&json!("failed"), &usage));
    api.fakes.clock.advance(Duration::from_hours(1));
    close(&api.env).await;
    let later = api.get(&path()).await.expect(200);
    assert_eq!((&later["costUsd"], &later["usage"]), (&ended["costUsd"], &usage));
}

#[tokio::test]
async fn the_webhook_of_a_sessions_end_shows_its_cost() {
    let endpoint = Endpoint {
        url: Secret::new("https://example.com/".into()),
        events: vec![EventType::SessionStopped],
        secret: Secret::new(format!("whsec_{}", "QUJD".repeat(8))),
        gone: false,
    };
    let fakes = Fakes::new().with_spec(|spec| spec.webhook = Some(endpoint));
    let api = Api::new(fakes.with_stopping_session("s"))
        .with_policy(|policy| policy.pricing = Some(PRICING));
    api.fakes.clock.advance(Duration::from_mins(5));
    close(&api.env).await;
    let list = api.get("/v1/webhooks/deliveries").await.expect(200);
    let delivery = list["data"][0]["deliveryId"].as_str().unwrap().parse().unwrap();
    crate::handle(&api.env, Message::DeliverWebhook { delivery }).await.unwrap();
    let posts = api.fakes.webhooks.posts();
    let body: Value = serde_json::from_str(posts[0].body.expose()).unwrap();
    assert_eq!(body["type"], "session.stopped");
    assert_eq!(body["data"]["usage"]["taskMs"], 300_000);
    let shown = api.get(&path()).await.expect(200);
    assert!(shown["costUsd"].as_f64().is_some_and(|dollars| dollars > 0.0), "{shown}");
    assert_eq!(body["data"]["costUsd"], shown["costUsd"]);
}
