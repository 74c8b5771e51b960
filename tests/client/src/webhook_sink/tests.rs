use std::time::{SystemTime, UNIX_EPOCH};

use standardwebhooks::Webhook;

use super::WebhookSink;
use crate::http_client;

const SECRET: &str = "whsec_TWFya0luVGhlV2ViaG9va1NlY3JldDEyMzQ=";

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// Posts a signed call; returns the status.
async fn post(sink: &WebhookSink, timestamp: i64) -> u16 {
    let body = "{\"type\": \"session.ready\"}";
    let signature = Webhook::new(SECRET).unwrap().sign("msg_1", timestamp, body.as_bytes());
    let request = http_client().unwrap().post(sink.url()).body(body);
    let request = request.header("webhook-id", "msg_1").header("webhook-timestamp", timestamp);
    let request = request.header("webhook-signature", signature.unwrap());
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_call_is_signed_with_its_own_secret_only() {
    let sink = WebhookSink::open().await.unwrap();
    assert_eq!(post(&sink, now()).await, 204);
    let call = &sink.calls_of("session.ready")[0];
    assert!(call.is_signed(SECRET));
    assert!(!call.is_signed("whsec_AAAA"));
    assert!(!call.is_signed("not base64"));
}

#[tokio::test]
async fn an_old_signature_is_not_valid() {
    let sink = WebhookSink::open().await.unwrap();
    post(&sink, now() - 3600).await;
    assert!(!sink.calls()[0].is_signed(SECRET));
}

#[tokio::test]
async fn a_refused_call_is_recorded() {
    let sink = WebhookSink::refusing(|_, earlier| earlier.is_empty()).await.unwrap();
    assert_eq!([post(&sink, now()).await, post(&sink, now()).await], [503, 204]);
    let accepted: Vec<bool> = sink.calls().iter().map(|call| call.accepted).collect();
    assert_eq!(accepted, [false, true]);
}
