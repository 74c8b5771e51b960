use std::{fs, time::Duration};

use axum::{
    Extension,
    body::Bytes,
    http::StatusCode,
    routing::{get, post},
};
use futures::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, unbounded_channel},
        oneshot,
    },
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{config::Tls, server::tls};

/// The longest time that a test waits for what must happen.
const BOUND: Duration = Duration::from_mins(1);
/// A timeout that a test waits for; long enough for a request on a busy machine.
const SHORT: Duration = Duration::from_millis(500);

struct Fixture {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Fixture {
    fn new(router: Router, limits: ConnectionLimits) -> Self {
        Self::with_tls(router, limits, None)
    }

    fn with_tls(router: Router, limits: ConnectionLimits, tls: Option<TlsAcceptor>) -> Self {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let connections = Connections::new(&limits, 1000, true);
        let acceptor = Acceptor { tls, router, connections, limits };
        let serving = tokio::spawn(acceptor.run(listener, stopped));
        Self { address, stop, serving }
    }

    /// A connection that has sent this.
    async fn connect(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// All that a connection that sends this gets until it is closed.
    async fn exchange(&self, text: &str) -> String {
        rest(self.connect(text).await).await
    }
}

/// What is still sent on this connection until it is closed; a reset is an end as well.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(BOUND, stream.read_to_end(&mut bytes)).await;
    let _reset = read.expect("the connection is closed");
    String::from_utf8(bytes).unwrap()
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LAST_REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_header_beyond_its_limit_is_refused() {
    let fixture = Fixture::new(hello(), ConnectionLimits::default());
    let request = |length| {
        let field = "x".repeat(length);
        LAST_REQUEST.replace("\r\n\r\n", &format!("\r\nX-Field: {field}\r\n\r\n"))
    };
    assert!(fixture.exchange(&request(MAX_HEADER - 1000)).await.ends_with("hello"));
    // A reset may overtake the response.
    assert!(!fixture.exchange(&request(MAX_HEADER)).await.contains("hello"));
}

#[tokio::test]
async fn idle_connections_beyond_the_limits_do_not_stop_other_clients() {
    for (open, open_per_peer) in [(4, 4), (100, 4)] {
        let limits = ConnectionLimits {
            open: Some(open),
            open_per_peer: Some(open_per_peer),
            ..ConnectionLimits::default()
        };
        let fixture = Fixture::new(hello(), limits);
        let mut idle = Vec::new();
        for text in ["", "GET / HT", REQUEST].repeat(10) {
            idle.push(fixture.connect(text).await);
            let answer = fixture.exchange(LAST_REQUEST).await;
            assert!(answer.ends_with("hello"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed_while_all_others_serve_requests() {
    let (router, mut entries, release) = held();
    let limits =
        ConnectionLimits { open: Some(1), idle_timeout: SHORT, ..ConnectionLimits::default() };
    let fixture = Fixture::new(router, limits);
    let first = fixture.connect(REQUEST).await;
    entries.recv().await.unwrap();
    assert_eq!(fixture.exchange("").await, "");
    release.notify_one();
    assert!(rest(first).await.ends_with("released"));
    release.notify_one();
    assert!(fixture.exchange(LAST_REQUEST).await.ends_with("released"));
}

#[tokio::test]
async fn requests_without_a_user_whose_bodies_do_not_come_stop_no_client() {
    let router = Router::new().route("/", get(async || "hello").post(async |body: Bytes| body));
    let limits = ConnectionLimits { open: Some(4), ..ConnectionLimits::default() };
    let fixture = Fixture::new(router, limits);
    let unfinished = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(fixture.connect(unfinished).await);
        let answer = fixture.exchange(LAST_REQUEST).await;
        assert!(answer.ends_with("hello"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_without_a_whole_header_is_closed() {
    let limits = ConnectionLimits { header_timeout: SHORT, ..ConnectionLimits::default() };
    let fixture = Fixture::new(hello(), limits);
    let unfinished = ["", "G", "GET / HTTP/1.1\r\nHost: localhost\r\n"];
    let answers = unfinished.map(|text| fixture.exchange(text));
    assert_eq!(futures::future::join_all(answers).await, [""; 3]);
    let mut later = fixture.connect(REQUEST).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert_ne!(later.read_buf(&mut answer).await.unwrap(), 0, "the connection stays open");
    }
    later.write_all(b"GET / HT").await.unwrap();
    assert_eq!(rest(later).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let limits = ConnectionLimits { idle_timeout: SHORT, ..ConnectionLimits::default() };
    let fixture = Fixture::new(hello(), limits);
    assert!(fixture.exchange(REQUEST).await.ends_with("hello"));
}

#[tokio::test]
async fn a_request_whose_body_does_not_arrive_is_answered_and_closed() {
    let router = Router::new().route("/", post(async |body: Bytes| body));
    let limits = ConnectionLimits { body_timeout: SHORT, ..ConnectionLimits::default() };
    let fixture = Fixture::new(router, limits);
    let header = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    let answer = fixture.exchange(&format!("{header}he")).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let whole = format!("{header}hello");
    let answer = fixture.exchange(&whole.replacen("Host", "Connection: close\r\nHost", 1)).await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_not_read_is_not_asked_for() {
    let router = Router::new().route("/", post(async || StatusCode::PAYLOAD_TOO_LARGE));
    let fixture = Fixture::new(router, ConnectionLimits::default());
    let header = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n";
    let answer = fixture.exchange(&format!("{header}Expect: 100-continue\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // The client must know that it can't send another request on the connection.
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_connection_whose_client_reads_nothing_is_closed() {
    let (alive, closed) = oneshot::channel::<()>();
    let alive = Arc::new(parking_lot::Mutex::new(Some(alive)));
    let endless = move || {
        let alive = alive.lock().take();
        let chunks = futures::stream::repeat(Bytes::from(vec![b'a'; 65_536])).map(move |chunk| {
            assert!(alive.is_some(), "the route is called once");
            Ok::<_, std::convert::Infallible>(chunk)
        });
        async { Body::from_stream(chunks) }
    };
    let router = Router::new().route("/", get(endless));
    let limits = ConnectionLimits { write_timeout: SHORT, ..ConnectionLimits::default() };
    let fixture = Fixture::new(router, limits);
    let unread = fixture.connect(REQUEST).await;
    let closed = timeout(BOUND, closed).await.expect("the response is given up");
    assert!(closed.is_err(), "nothing is sent on the channel");
    drop(unread);
}

#[tokio::test]
async fn a_stop_lets_the_open_request_finish_and_closes_idle_connections() {
    let (router, mut entries, release) = held();
    let fixture = Fixture::new(router, ConnectionLimits::default());
    let silent = fixture.connect("").await;
    let open = fixture.connect(REQUEST).await;
    entries.recv().await.unwrap();
    fixture.stop.send_replace(true);
    assert_eq!(rest(silent).await, "");
    release.notify_one();
    assert!(rest(open).await.ends_with("released"));
    timeout(BOUND, fixture.serving).await.expect("all connections are closed").unwrap();
}

/// A route whose requests have a user and wait until they are released, and a message for each request that
/// arrives.
fn held() -> (Router, UnboundedReceiver<()>, Arc<Notify>) {
    let release = Arc::new(Notify::new());
    let (entered, entries) = unbounded_channel();
    let wait = {
        let release = Arc::clone(&release);
        move |Extension(connection): Extension<UpgradableConnection>| {
            let (release, entered) = (Arc::clone(&release), entered.clone());
            connection.authenticated();
            async move {
                entered.send(()).unwrap();
                release.notified().await;
                "released"
            }
        }
    };
    (Router::new().route("/", get(wait)), entries, release)
}

/// A self-signed certificate for 127.0.0.1 in a server, and a client that trusts it.
fn encrypted() -> (TlsAcceptor, reqwest::Client) {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let generated = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let files = Tls { certificates: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    fs::write(&files.certificates, generated.cert.pem()).unwrap();
    fs::write(&files.key, generated.signing_key.serialize_pem()).unwrap();
    let certificate = reqwest::Certificate::from_pem(generated.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(BOUND)
        .tls_certs_only([certificate])
        .build();
    (tls::acceptor(&files).unwrap(), client.unwrap())
}

#[tokio::test]
async fn failed_and_unfinished_tls_handshakes_delay_no_client() {
    let (tls, client) = encrypted();
    let fixture = Fixture::with_tls(hello(), ConnectionLimits::default(), Some(tls));
    let url = format!("https://{}/", fixture.address);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(fixture.connect("").await);
        for _ in 0..3 {
            let alert = fixture.connect("this is no handshake\r\n\r\n").await;
            drop(alert);
        }
    }
    for _ in 0..60 {
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn an_unfinished_tls_handshake_is_closed() {
    let (tls, _) = encrypted();
    let limits = ConnectionLimits { header_timeout: SHORT, ..ConnectionLimits::default() };
    let fixture = Fixture::with_tls(hello(), limits, Some(tls));
    assert_eq!(fixture.exchange("").await, "");
    // The header of a handshake record whose contents never come.
    assert_eq!(fixture.exchange("\u{16}\u{3}\u{1}\u{1}\u{0}").await, "");
}
