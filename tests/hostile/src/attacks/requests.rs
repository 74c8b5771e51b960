//! Attacks by the bytes of a request.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Attack;
use crate::server::Server;

/// Longest time to answer a request that is refused.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

pub(super) const ATTACKS: [Attack; 3] = [
    Attack::new("hide a request in another one", |server| Box::pin(smuggling(server))),
    Attack::new("send what no JSON parser expects", |server| Box::pin(json(server))),
    Attack::new("send what no HTTP server expects", |server| Box::pin(http(server))),
];

/// Sends bytes, then reads until the server closes or says nothing for two seconds.
async fn exchange(server: &Server, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(server.address).await?;
    // The server may refuse and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let (mut answer, mut buffer) = (Vec::new(), vec![0; 65536]);
    loop {
        match tokio::time::timeout(Duration::from_secs(2), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) | Err(_) => break,
            Ok(Ok(length)) => answer.extend_from_slice(&buffer[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Exchanges all of these at the same time, each on its own connection.
async fn exchange_all(server: &Server, requests: &[String]) -> Result<Vec<String>> {
    futures::future::try_join_all(
        requests.iter().map(|request| exchange(server, request.as_bytes())),
    )
    .await
}

fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.split("HTTP/1.").skip(1);
    lines.filter_map(|line| line.get(2..5)?.parse().ok()).collect()
}

/// A request whose end two programs may see at different places gets one answer at most; the request that
/// it hides, which would stop a session, gets none.
async fn smuggling(server: &Server) -> Result<Option<String>> {
    let user = server.user("smuggler").await?;
    let hidden = format!(
        "GET /v1/quota HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        user.token()
    );
    let length = hidden.len();
    let heads = [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n"),
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n\r\n"),
        "Content-Length: 0, 5\r\n\r\n".to_owned(),
        "Content-Length: +0\r\n\r\n".to_owned(),
        "Content-Length: 0x0\r\n\r\n".to_owned(),
        "Content-Length: -1\r\n\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n".to_owned(),
        "X: a\r\n Content-Length: 0\r\nTransfer-Encoding: chunked, x\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n".to_owned(),
    ];
    let request =
        |head: &str| format!("POST /v1/shell/stop HTTP/1.1\r\nHost: localhost\r\n{head}{hidden}");
    let requests: Vec<String> = heads.iter().map(|head| request(head)).collect();
    for (head, answer) in heads.iter().zip(exchange_all(server, &requests).await?) {
        let found = statuses(&answer);
        ensure!(found.len() <= 1, "{head:?} gets {found:?}");
        ensure!(!found.contains(&200), "{head:?} reaches the hidden request");
    }
    Ok(None)
}

async fn http(server: &Server) -> Result<Option<String>> {
    let user = server.user("bytes").await?;
    let token = user.token();
    let long = "a".repeat(70_000);
    let many: String = (0..2000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let requests = [
        "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n".to_owned(),
        "TRACE /v1/quota HTTP/1.1\r\nHost: localhost\r\nX: secret\r\n\r\n".to_owned(),
        "OPTIONS /v1/quota HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /v1/quota HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
        format!("GET /v1/quota HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", long.repeat(15)),
        "GET /v1/../metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /v1/%2e%2e%2fmetrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /v1/sessions/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /v1/sessions/..%2f..%2ftoken HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET /v1/quota HTTP/9.9\r\nHost: localhost\r\n\r\n".to_owned(),
        "POST /v1/shell/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000000000\r\n\r\n{}".to_owned(),
    ];
    for (request, answer) in requests.iter().zip(exchange_all(server, &requests).await?) {
        let shown: String = request.chars().take(60).collect();
        let found = statuses(&answer);
        let refused = found.iter().all(|status| (400..500).contains(status));
        ensure!(refused, "{shown:?} gets {found:?}: {answer:.300}");
        let header = answer.to_lowercase();
        ensure!(
            !header.contains("access-control-allow-origin"),
            "{shown:?} may be read by other sites"
        );
        ensure!(!answer.contains(token), "{shown:?} tells a token");
    }
    let forged = "GET /v1/quota HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\tb<script>\r\n\r\n";
    let answer = exchange(server, forged.as_bytes()).await?;
    ensure!(!answer.contains("<script>"), "the id of a request is copied: {answer}");
    Ok(None)
}

/// Bodies that make parsers slow, deep or wrong are refused, at once.
async fn json(server: &Server) -> Result<Option<String>> {
    let user = server.user("json").await?;
    let http = client::http_client()?;
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("deep arrays", b"[".repeat(200_000)),
        ("deep objects", b"{\"a\":".repeat(40_000)),
        ("a large exponent", b"{\"ttlSeconds\":1e400}".to_vec()),
        ("many digits", format!("{{\"ttlSeconds\":{}}}", "9".repeat(100_000)).into_bytes()),
        ("not a number", b"{\"ttlSeconds\":NaN}".to_vec()),
        ("a negative number", b"{\"ttlSeconds\":-1}".to_vec()),
        ("a fraction", b"{\"ttlSeconds\":60.5}".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("a raw NUL", b"{\"metadata\":{\"a\":\"\0\"}}".to_vec()),
        ("a lone surrogate", b"{\"metadata\":{\"a\":\"\\ud800\"}}".to_vec()),
        ("bytes that are not UTF-8", b"{\"metadata\":{\"a\":\"\xff\xfe\"}}".to_vec()),
        ("an array", b"[]".to_vec()),
        ("a string", b"\"{}\"".to_vec()),
        ("two values", b"{}{}".to_vec()),
        ("a comment", b"{/**/}".to_vec()),
        ("an unknown field", b"{\"__proto__\":{\"admin\":true}}".to_vec()),
        (
            "more bytes than allowed",
            format!("{{\"metadata\":{{\"a\":\"{}\"}}}}", "a".repeat(300_000)).into_bytes(),
        ),
        ("a bad name of a variable", b"{\"env\":{\"A=B\":\"c\"}}".to_vec()),
        ("an empty name of a variable", b"{\"env\":{\"\":\"c\"}}".to_vec()),
        ("a NUL in a variable", b"{\"env\":{\"A\":\"\\u0000\"}}".to_vec()),
    ];
    for (name, body) in bodies {
        let size = body.len();
        let began = Instant::now();
        let request = http
            .post(format!("http://{}/v1/shell/start", server.address))
            .bearer_auth(user.token());
        let answer = request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .context(name)?;
        let status = answer.status().as_u16();
        let length = answer.text().await.context(name)?.len();
        ensure!(matches!(status, 400 | 413 | 422), "{name}: {status}");
        ensure!(began.elapsed() < ANSWERS_WITHIN, "{name} took {:?}", began.elapsed());
        ensure!(length < 16 << 10 || length < size, "{name}: an answer of {length} bytes");
    }
    let quota = user.get("/quota").await?.expect(200)?;
    ensure!(quota.body["active"] == 0, "a refused start began a session: {}", quota.body);
    Ok(None)
}
