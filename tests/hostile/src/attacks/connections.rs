//! Attacks by connections, which need no token.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

use super::Attack;
use crate::{server::Server, user::User};

/// Time within which another user is served, on a loaded machine too.
const SERVED_WITHIN: Duration = Duration::from_secs(30);

pub(super) const ATTACKS: [Attack; 3] = [
    Attack::new("hold all connections of the server", |server| Box::pin(idle(server))),
    Attack::new("send half a request and wait", |server| Box::pin(half(server))).long(),
    Attack::new("break TLS handshakes", |server| Box::pin(handshakes(server))),
];

/// Whether the user can still run a command in a session, and how long that takes at most.
async fn is_served(user: &User, session: &str) -> Result<()> {
    let began = Instant::now();
    let output =
        user.output_of(session, "echo served").await.context("another user is not served")?;
    ensure!(output == "served\n", "{output}");
    ensure!(began.elapsed() < SERVED_WITHIN, "another user waits {:?}", began.elapsed());
    Ok(())
}

/// More idle connections than the server may have open files.
async fn idle(server: &Server) -> Result<Option<String>> {
    let small = Server::start_with_open_files(server.program(), &[], 400).await?;
    let alice = small.user("alice").await?;
    let session = alice.ready().await?;
    let mut idle = Vec::new();
    for _ in 0..600 {
        // The server may close the connection again at once.
        if let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(small.address)).await
        {
            idle.push(stream);
        }
    }
    is_served(&alice, &session).await?;
    let fresh = alice.ready().await.context("no session can be started")?;
    alice.stop(&fresh).await?;
    alice.stop(&session).await?;
    drop(idle);
    small.stop().await?;
    Ok(None)
}

/// A client that does not go on is disconnected, whether it stops in the header or in the body.
async fn half(server: &Server) -> Result<Option<String>> {
    let alice = server.user("patient").await?;
    let body = format!(
        "POST /v1/shell/start HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        alice.token()
    );
    let mut streams = Vec::new();
    for bytes in ["", "GET /v1/quota HT", "GET /v1/quota HTTP/1.1\r\nHost: local", body.as_str()] {
        let mut stream = TcpStream::connect(server.address).await?;
        stream.write_all(bytes.as_bytes()).await?;
        streams.push((bytes, stream));
    }
    let mut answer = Vec::new();
    for (bytes, mut stream) in streams {
        let closed = tokio::time::timeout(Duration::from_secs(80), stream.read_to_end(&mut answer));
        ensure!(closed.await.is_ok(), "{bytes:?} is still open after 80 s");
    }
    Ok(None)
}

/// Clients that break off their handshake take nobody's place.
async fn handshakes(server: &Server) -> Result<Option<String>> {
    let dir = tempfile::tempdir()?;
    let (certificate, key) = (dir.path().join("certificate"), dir.path().join("key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-days",
            "1",
        ])
        .args([
            std::ffi::OsStr::new("-keyout"),
            key.as_os_str(),
            "-out".as_ref(),
            certificate.as_os_str(),
        ])
        .stderr(Stdio::null())
        .status()
        .await;
    if !made.is_ok_and(|status| status.success()) {
        return Ok(Some("openssl, which makes a certificate, is not installed".to_owned()));
    }
    let path = |path: &std::path::Path| path.to_str().map(str::to_owned).context("a path");
    let options = ["--tls-cert", &path(&certificate)?, "--tls-key", &path(&key)?];
    let secure = Server::start(server.program(), &options).await?;
    for _ in 0..60 {
        let mut stream = TcpStream::connect(secure.address).await?;
        // The server closes as soon as it has read enough.
        let _ = stream.write_all(b"\x16\x03\x01\x00\x05\x01garbage").await;
    }
    let url = format!("https://localhost:{}/healthz", secure.address.port());
    for client in 0..3 {
        let mut curl = Command::new("curl");
        let resolve = format!("localhost:{}:{}", secure.address.port(), secure.address.ip());
        curl.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "20",
            "--resolve",
            &resolve,
        ]);
        let output = curl.arg("--cacert").arg(&certificate).arg(&url).output().await;
        let Ok(output) = output else { return Ok(Some("curl is not installed".to_owned())) };
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "client {client} is not served: {error}");
    }
    // Old versions are refused.
    for version in ["1.0", "1.1"] {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--noproxy",
            "*",
            "--max-time",
            "20",
            "--insecure",
            "--tls-max",
            version,
        ]);
        curl.args([&format!("--tlsv{version}"), "--ciphers", "DEFAULT@SECLEVEL=0", &url]);
        ensure!(!curl.status().await?.success(), "TLS {version} is accepted");
    }
    secure.stop().await?;
    let alice = server.user("plain").await?;
    alice.post("/shell/start", &json!({"unknown": 1})).await?.expect(400)?;
    Ok(None)
}
