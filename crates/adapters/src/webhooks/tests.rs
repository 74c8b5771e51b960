use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use domain::{
    Secret,
    ports::{PostError, SignedPost, Webhooks},
};
use parking_lot::Mutex;
use testkit::conformance;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use reqwest::header::{DATE as DATE_HEADER, HeaderMap, RETRY_AFTER};

use super::{HttpWebhooks, address::is_public, resolve::PublicResolver, retry_after};

fn post_to(url: &str) -> SignedPost {
    SignedPost {
        url: Secret::new(url.to_owned()),
        id: "msg_1".to_owned(),
        timestamp: 1_700_000_000,
        signature: Secret::new("v1,abc".to_owned()),
        body: Secret::new(r#"{"type":"session.ready"}"#.to_owned()),
        user: domain::UserId::new("ann"),
        timeout: Duration::from_secs(10),
    }
}

/// Answers one request with this text, and returns the request.
async fn endpoint(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let requested = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(br#""session.ready"}"#) {
            let read = stream.read_buf(&mut request).await.unwrap();
            assert_ne!(read, 0, "the request ended early");
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, requested)
}

#[test]
fn only_unicast_addresses_of_the_internet_are_public() {
    let public = [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.0.1",
        "172.32.0.1",
        "192.167.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450::1",
        "2001:4860::8888",
        "2002:0101:0101::1",
        "64:ff9b::1.1.1.1",
    ];
    let private = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:1.1.1.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1.1.1.1",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    for text in public {
        assert!(is_public(text.parse::<IpAddr>().unwrap()), "{text} is public");
    }
    for text in private {
        assert!(!is_public(text.parse::<IpAddr>().unwrap()), "{text} is private");
    }
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_called() {
    let webhooks = HttpWebhooks::new(false);
    for url in [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/",
        "http://example.com/",
        "ftp://example.com/",
        "unix:/run/x.sock",
        "not a url",
    ] {
        assert_eq!(webhooks.post(&post_to(url)).await, Err(PostError::Forbidden), "{url}");
    }
}

#[tokio::test]
async fn a_post_carries_the_standard_headers_and_reports_the_answer() {
    let (url, requested) = endpoint(
        "HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )
    .await;
    let posted = HttpWebhooks::new(true).post(&post_to(&url)).await.unwrap();
    assert_eq!(posted.status, 503);
    assert_eq!(posted.retry_after, Some(Duration::from_secs(17)));
    let requested = requested.await.unwrap();
    assert!(requested.starts_with("POST /hook HTTP/1.1\r\n"), "{requested}");
    for header in
        ["webhook-id: msg_1", "webhook-timestamp: 1700000000", "webhook-signature: v1,abc"]
    {
        assert!(requested.contains(header), "{header} in {requested}");
    }
}

#[test]
fn the_delay_that_an_endpoint_asks_for_may_be_a_date() {
    const DATE: &str = "Thu, 26 Nov 2026 12:00:00 GMT";
    for (given, date, seconds) in [
        ("17", None, Some(17)),
        ("0", None, Some(0)),
        ("99999999999999999999999", None, Some(u64::MAX)),
        ("Thu, 26 Nov 2026 12:01:30 GMT", Some(DATE), Some(90)),
        ("Thursday, 26-Nov-26 12:01:30 GMT", Some(DATE), Some(90)),
        ("Thu Nov 26 12:01:30 2026", Some(DATE), Some(90)),
        ("Thu, 26 Nov 2026 11:00:00 GMT", Some(DATE), Some(0)),
        ("Fri, 01 Jan 1999 00:00:00 GMT", None, Some(0)),
        ("soon", Some(DATE), None),
        ("-5", None, None),
        ("", None, None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, given.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE_HEADER, date.parse().unwrap());
        }
        let delay = retry_after(&headers);
        assert_eq!(delay, seconds.map(Duration::from_secs), "{given}");
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_rests() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let silent = SignedPost { timeout: Duration::from_millis(50), ..post_to(&url) };
    let webhooks = HttpWebhooks::new(true);
    for _ in 0..3 {
        assert_eq!(webhooks.post(&silent).await, Err(PostError::TimedOut));
    }
    let rests = webhooks.post(&silent).await;
    assert!(matches!(rests, Err(PostError::Resting(left)) if left > Duration::from_secs(5)));
    let other = SignedPost { user: domain::UserId::new("bob"), ..silent };
    assert_eq!(webhooks.post(&other).await, Err(PostError::TimedOut));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (url, requested) = endpoint(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let posted = HttpWebhooks::new(true).post(&post_to(&url)).await.unwrap();
    assert_eq!(posted.status, 302);
    requested.await.unwrap();
}

#[tokio::test]
async fn an_endless_body_does_not_hold_up_its_status() {
    let (url, requested) = endpoint("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx").await;
    let posted = HttpWebhooks::new(true).post(&post_to(&url)).await.unwrap();
    assert_eq!(posted.status, 200);
    requested.await.unwrap();
}

#[tokio::test]
async fn a_closed_port_is_a_failed_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let posted = HttpWebhooks::new(true).post(&post_to(&url)).await;
    assert_eq!(posted, Err(PostError::Failed));
}

/// Stands for a public address: this machine has none to listen on.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const PRIVATE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A client whose resolver gives these answers, one after the other, and then always the last one;
/// and the number of lookups.
fn rebinding(answers: &[&[Ipv4Addr]]) -> (HttpWebhooks, Arc<Mutex<usize>>) {
    let answers: Vec<Vec<SocketAddr>> = answers
        .iter()
        .map(|answer| answer.iter().map(|ip| SocketAddr::from((*ip, 0))).collect())
        .collect();
    let requested = Arc::new(Mutex::new(0));
    let count = Arc::clone(&requested);
    let lookup = move |_| -> std::pin::Pin<Box<dyn Future<Output = _> + Send>> {
        let mut count = count.lock();
        let answer = answers[(*count).min(answers.len() - 1)].clone();
        *count += 1;
        Box::pin(async move { Ok(answer) })
    };
    let resolver = PublicResolver::new(lookup, |ip| ip == IpAddr::V4(PUBLIC));
    (HttpWebhooks::with(false, resolver), requested)
}

/// Listens on the private address, which must not be called.
fn listen_private(port: u16) -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind((PRIVATE, port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn was_called(listener: &std::net::TcpListener) -> bool {
    listener.accept().is_ok()
}

#[tokio::test]
async fn a_name_that_becomes_private_after_its_check_is_not_called() {
    let public = TcpListener::bind((PUBLIC, 0)).await.unwrap();
    let port = public.local_addr().unwrap().port();
    let private = listen_private(port);
    let (webhooks, requested) = rebinding(&[&[PUBLIC], &[PRIVATE]]);
    let post = post_to(&format!("https://rebinding.example:{port}/"));

    let first = async {
        // Closes the connection: a handshake would need a certificate that the client trusts.
        drop(public.accept().await.unwrap());
    };
    let (posted, ()) = tokio::join!(webhooks.post(&post), first);
    assert_eq!(posted, Err(PostError::Failed));
    assert_eq!(*requested.lock(), 1, "the address that was checked is the one called");

    assert_eq!(webhooks.post(&post).await, Err(PostError::Forbidden));
    assert_eq!(*requested.lock(), 2, "a new connection is checked again");
    assert!(!was_called(&private));
}

#[tokio::test]
async fn a_private_address_among_public_ones_is_not_called() {
    let private = listen_private(0);
    let port = private.local_addr().unwrap().port();
    let (webhooks, _) = rebinding(&[&[PRIVATE, PUBLIC]]);
    let posted = webhooks.post(&post_to(&format!("https://rebinding.example:{port}/"))).await;
    assert_eq!(posted, Err(PostError::Failed), "nothing listens on the public address");
    assert!(!was_called(&private));
}

#[tokio::test]
async fn the_conformance_suite_of_the_port_passes() {
    conformance::webhooks_suite(async || Arc::new(HttpWebhooks::new(true)) as _).await;
    conformance::strict_webhooks_suite(async || Arc::new(HttpWebhooks::new(false)) as _).await;
}
