use std::{fs, path::PathBuf};

use axum::{Router, routing::get};
use tokio::net::{TcpListener, TcpStream};

use super::{TlsListener, acceptor};
use crate::{config::Tls, server::StartError};

/// A self-signed certificate for 127.0.0.1, and its key.
fn files() -> (tempfile::TempDir, Tls) {
    let dir = tempfile::tempdir().unwrap();
    let generated = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let files = Tls { certificates: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    fs::write(&files.certificates, generated.cert.pem()).unwrap();
    fs::write(&files.key, generated.signing_key.serialize_pem()).unwrap();
    (dir, files)
}

#[tokio::test]
async fn a_connection_without_a_handshake_delays_no_other() {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (_dir, files) = files();
    let listener = TlsListener::new(tcp, acceptor(&files).unwrap());
    let router = Router::new().route("/", get(async || "hello"));
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let _silent = TcpStream::connect(address).await.unwrap();
    let pem = fs::read(&files.certificates).unwrap();
    let certificate = reqwest::Certificate::from_pem(&pem).unwrap();
    let client =
        reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
    for _ in 0..2 {
        let answer = client.get(format!("https://{address}/")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
    serving.abort();
}

#[test]
fn a_certificate_that_is_none_is_refused() {
    let (_dir, files) = files();
    let none = Tls { certificates: PathBuf::from("/dev/null"), ..files.clone() };
    let mixed_up = Tls { certificates: files.key.clone(), key: files.certificates.clone() };
    let missing = Tls { key: PathBuf::from("/nonexistent"), ..files };
    for files in [none, mixed_up, missing] {
        assert!(matches!(acceptor(&files), Err(StartError::Tls(..))), "{files:?}");
    }
}
