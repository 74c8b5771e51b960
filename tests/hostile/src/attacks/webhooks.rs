//! Attacks by webhooks on what only the server can reach.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::net::TcpListener;

use super::Attack;
use crate::server::Server;

pub(super) const ATTACKS: [Attack; 1] =
    [Attack::new("call inside addresses by webhooks", |server| Box::pin(inside(server)))];

/// Spellings of addresses that are not public. `PORT` is a port at which this program listens.
const SPELLINGS: [&str; 46] = [
    "https://127.0.0.1:PORT/",
    "https://127.1:PORT/",
    "https://127.0.1:PORT/",
    "https://2130706433:PORT/",
    "https://0x7f000001:PORT/",
    "https://0x7f.0.0.1:PORT/",
    "https://0177.0.0.1:PORT/",
    "https://017700000001:PORT/",
    "https://0:PORT/",
    "https://0.0.0.0:PORT/",
    "https://127.0.0.1.:PORT/",
    "https://localhost:PORT/",
    "https://LOCALHOST:PORT/",
    "https://localhost.:PORT/",
    "https://ip6-localhost:PORT/",
    "https://[::1]:PORT/",
    "https://[::]:PORT/",
    "https://[0:0:0:0:0:0:0:1]:PORT/",
    "https://[::ffff:127.0.0.1]:PORT/",
    "https://[::ffff:7f00:1]:PORT/",
    "https://[::127.0.0.1]:PORT/",
    "https://[64:ff9b::7f00:1]:PORT/",
    "https://[64:ff9b:1::7f00:1]:PORT/",
    "https://[2002:7f00:1::]:PORT/",
    "https://[fe80::1]:PORT/",
    "https://[fc00::1]:PORT/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]:PORT/",
    "https://169.254.169.254/latest/meta-data/",
    "https://169.254.170.2/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://10.0.0.1:PORT/",
    "https://172.16.0.1:PORT/",
    "https://192.168.0.1:PORT/",
    "https://100.64.0.1:PORT/",
    "https://224.0.0.1:PORT/",
    "https://255.255.255.255:PORT/",
    "https://user:secret@127.0.0.1:PORT/",
    "https://example.com@127.0.0.1:PORT/",
    "https://127.0.0.1:PORT\\@example.com/",
    "https://127.0.0.1:PORT#@example.com/",
    "https://\u{ff11}\u{ff12}\u{ff17}.\u{ff10}.\u{ff10}.\u{ff11}:PORT/",
    "https://127\u{3002}0\u{3002}0\u{3002}1:PORT/",
    "https://127.0.0.1:PORT/\r\nX: y",
];
const SCHEMES: [&str; 8] = [
    "http://127.0.0.1:PORT/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/",
    "ftp://127.0.0.1:PORT/",
    "unix:///run/docker.sock",
    "javascript:alert(1)",
    "//127.0.0.1:PORT/",
    "",
];

async fn inside(server: &Server) -> Result<Option<String>> {
    let mallory = server.user("webhooks").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port().to_string();
    let mut accepted = 0;
    for spelling in SPELLINGS.iter().chain(&SCHEMES) {
        let url = spelling.replace("PORT", &port);
        let body = json!({"ttlSeconds": 60, "command": "true", "webhook": {"url": url, "events": ["session.ready"]}});
        let answer = mallory.post("/shell/start", &body).await?;
        if answer.status == 400 {
            continue;
        }
        ensure!(answer.status == 202, "{url:?}: {} {}", answer.status, answer.body);
        accepted += 1;
        let session = answer.body["sessionId"].as_str().unwrap_or_default().to_owned();
        delivery_fails(&mallory, &session, &url).await?;
        mallory.stop(&session).await?;
    }
    let called = tokio::time::timeout(Duration::from_secs(1), listener.accept()).await;
    ensure!(called.is_err(), "one of {accepted} accepted webhooks reached the listener");
    Ok(None)
}

/// Waits for the first attempt of the delivery, which must not have been sent.
async fn delivery_fails(user: &crate::user::User, session: &str, url: &str) -> Result<()> {
    let began = Instant::now();
    loop {
        let path = format!("/webhooks/deliveries?sessionId={session}");
        let body = user.get(&path).await?.expect(200)?.body;
        let attempts = body["data"][0]["attempts"].as_array().map_or(&[][..], Vec::as_slice);
        if !attempts.is_empty() {
            let refused = attempts.iter().all(|attempt| attempt["error"].is_string());
            ensure!(refused, "{url:?}: {attempts:?}");
            return Ok(());
        }
        ensure!(began.elapsed() < Duration::from_secs(60), "{url:?} is not tried: {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
