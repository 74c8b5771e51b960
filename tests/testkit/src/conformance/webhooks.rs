//! The suites of the port `Webhooks`: one with private targets allowed, one without.

use std::{net::TcpListener, sync::Arc, time::Duration};

use domain::{
    Secret,
    ports::{PostError, Posted, SignedPost, Webhooks},
};

use super::{Endpoint, run_cases};

/// Runs the cases of an implementation that may call http URLs and private addresses.
pub async fn webhooks_suite(make: impl AsyncFn() -> Arc<dyn Webhooks>) {
    run_cases!(make =>
        a_post_arrives_byte_for_byte,
        the_response_status_is_reported,
        redirects_are_not_followed,
        retry_after_is_reported,
        a_post_to_a_closed_port_fails,
    );
}

/// Runs the cases of an implementation with its default restrictions.
pub async fn strict_webhooks_suite(make: impl AsyncFn() -> Arc<dyn Webhooks>) {
    run_cases!(make => private_addresses_are_forbidden);
}

type Made = Arc<dyn Webhooks>;

async fn a_post_arrives_byte_for_byte(webhooks: &Made) {
    let endpoint = Endpoint::listen();
    let posted = webhooks.post(&post(endpoint.url())).await.unwrap();
    assert_eq!(posted, Posted { status: 200, retry_after: None });
    let received = endpoint.received();
    assert_eq!(received.len(), 1);
    let got = &received[0];
    assert_eq!(got.line, "POST /hook HTTP/1.1");
    assert_eq!(got.body, "{\"text\": \"é\"}".as_bytes());
    assert_eq!(got.header("webhook-id"), Some("msg_1"));
    assert_eq!(got.header("webhook-timestamp"), Some("1767225600"));
    assert_eq!(got.header("webhook-signature"), Some("v1,c2lnbmVk"));
    assert_eq!(got.header("content-type"), Some("application/json"));
}

async fn the_response_status_is_reported(webhooks: &Made) {
    let endpoint = Endpoint::listen();
    for (answer, status) in [("204 No Content", 204), ("410 Gone", 410), ("500 Oh", 500)] {
        endpoint.answer(answer);
        assert_eq!(webhooks.post(&post(endpoint.url())).await.unwrap().status, status);
    }
}

async fn redirects_are_not_followed(webhooks: &Made) {
    let (endpoint, other) = (Endpoint::listen(), Endpoint::listen());
    endpoint.answer(&format!("307 Elsewhere\r\nLocation: {}", other.url()));
    assert_eq!(webhooks.post(&post(endpoint.url())).await.unwrap().status, 307);
    assert_eq!(other.received(), []);
}

async fn retry_after_is_reported(webhooks: &Made) {
    let endpoint = Endpoint::listen();
    endpoint.answer("503 Busy\r\nRetry-After: 120");
    let retry_after = Some(Duration::from_secs(120));
    let posted = webhooks.post(&post(endpoint.url())).await.unwrap();
    assert_eq!(posted, Posted { status: 503, retry_after });
}

async fn a_post_to_a_closed_port_fails(webhooks: &Made) {
    let free = TcpListener::bind("127.0.0.1:0").expect("the loopback has free ports");
    let url = format!("http://{}/", free.local_addr().expect("it listens"));
    drop(free);
    assert_eq!(webhooks.post(&post(&url)).await, Err(PostError::Failed));
}

async fn private_addresses_are_forbidden(webhooks: &Made) {
    let urls = [
        "http://example.com/",
        "ftp://example.com/",
        "not a url",
        "https://",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://172.16.0.1/",
        "https://192.168.0.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://2130706433/",
        "https://0x7f.1/",
    ];
    for url in urls {
        assert_eq!(webhooks.post(&post(url)).await, Err(PostError::Forbidden), "{url}");
    }
}

fn post(url: &str) -> SignedPost {
    SignedPost {
        url: Secret::new(url.to_owned()),
        id: "msg_1".into(),
        timestamp: 1_767_225_600,
        signature: Secret::new("v1,c2lnbmVk".into()),
        body: Secret::new("{\"text\": \"é\"}".into()),
        user: crate::user_id(),
        timeout: Duration::from_secs(10),
    }
}
