use std::{io::ErrorKind, time::Instant};

use futures::{SinkExt, StreamExt};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{RootCertStore, ServerConfig, crypto::ring};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::{
    close_reason::CloseReason,
    message::PayloadType,
    raw_peer::{DEADLINE, RawPeer},
};

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url =
        format!("ws://{}/v1/data-channel/s?role=publish_subscribe", listener.local_addr().unwrap());
    (listener, url)
}

/// An open channel and its peer.
async fn channel() -> (Channel, RawPeer) {
    let (listener, url) = listen().await;
    let (channel, raw) = tokio::join!(open(&url, "token", &[]), RawPeer::accept(&listener));
    (channel.unwrap(), raw)
}

async fn read_all(channel: &mut Channel) -> String {
    let mut text = String::new();
    timeout(DEADLINE, channel.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

#[tokio::test]
async fn the_upgrade_has_the_given_headers_and_the_first_message_has_the_token() {
    let (listener, url) = listen().await;
    let client = tokio::spawn(async move {
        let headers = [("authorization".to_owned(), "AWS4-HMAC-SHA256 …".replace('…', "x"))];
        open(&url, "the token", &headers).await
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap().to_lowercase();
    assert!(request.starts_with("get /v1/data-channel/s?role=publish_subscribe http/1.1\r\n"));
    assert!(request.contains("\r\nauthorization: aws4-hmac-sha256 x\r\n"), "{request}");
    let host = format!("\r\nhost: {}\r\n", listener.local_addr().unwrap());
    assert!(request.contains(&host), "{request}");
    for absent in ["origin:", "sec-websocket-protocol:"] {
        assert!(!request.contains(absent), "{request}");
    }
    drop(stream);
    assert!(matches!(client.await.unwrap(), Err(OpenError::Backend(_))));

    let (listener, url) = listen().await;
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        socket.next().await.unwrap().unwrap().into_text().unwrap().to_string()
    };
    let (_channel, opening) = tokio::join!(open(&url, "the token", &[]), accept);
    let opening: Value = serde_json::from_str(&opening).unwrap();
    assert_eq!(opening["TokenValue"], "the token");
}

#[tokio::test]
async fn a_short_channel_closed_ends_reading_after_the_last_byte() {
    let (mut channel, mut raw) = channel().await;
    raw.send(1, PayloadType::Output, b" world").await;
    raw.send(0, PayloadType::Output, b"hello").await;
    raw.send(2, PayloadType::ExitCode, b"EXIT_CODE: 3").await;
    raw.channel_closed("bye").await;
    let closed = channel.closed();
    assert_eq!(read_all(&mut channel).await, "hello world");
    let CloseReason::Ended { message, exit_code } = closed.await else { panic!("not ended") };
    assert_eq!((&*message, exit_code), ("bye", Some(3)));
    let written = channel.write_all(b"too late").await.unwrap_err();
    assert_eq!(written.kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn messages_with_invalid_digests_and_garbage_are_ignored() {
    let (mut channel, mut raw) = channel().await;
    let right = raw.header(0, PayloadType::Output).encode(b"right").to_vec();
    let mut wrong = right.clone();
    wrong[80] ^= 1;
    raw.send_raw(wrong).await;
    raw.send_raw(b"short".to_vec()).await;
    raw.socket.send(Message::text("text")).await.unwrap();
    raw.send(1, PayloadType::Output, b" and later").await;
    assert_eq!(raw.next_acknowledged().await, 1, "the invalid message is not acknowledged");
    raw.send_raw(right).await;
    assert_eq!(raw.next_acknowledged().await, 0);
    raw.channel_closed("").await;
    assert_eq!(read_all(&mut channel).await, "right and later");
}

#[tokio::test]
async fn an_agent_may_take_a_second_for_its_first_output() {
    let (mut channel, mut raw) = channel().await;
    let start = Instant::now();
    let agent = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        raw.send(0, PayloadType::Output, b"$ ").await;
        raw.next_acknowledged().await
    });
    let mut prompt = [0; 2];
    channel.read_exact(&mut prompt).await.unwrap();
    assert_eq!((&prompt, agent.await.unwrap()), (b"$ ", 0));
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn input_is_resent_until_it_is_acknowledged() {
    let (mut channel, mut raw) = channel().await;
    channel.write_all(b"ls\n").await.unwrap();
    let first = raw.next_data().await;
    for _ in 0..2 {
        assert_eq!(raw.next_data().await, first, "the same message once more");
    }
    raw.acknowledge(&first.header).await;
    channel.write_all(b"exit\n").await.unwrap();
    let mut next = raw.next_data().await;
    while next == first {
        next = raw.next_data().await;
    }
    assert_eq!((next.header.sequence, &*next.payload), (1, &b"exit\n"[..]));
}

#[tokio::test]
async fn large_input_is_split_into_chunks_of_1024_bytes() {
    let (mut channel, mut raw) = channel().await;
    let text: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
    channel.write_all(&text).await.unwrap();
    let mut seen = Vec::new();
    let mut expected = 0;
    while seen.len() < text.len() {
        let frame = raw.next_data().await;
        raw.acknowledge(&frame.header).await;
        assert!(frame.payload.len() <= 1024);
        if frame.header.sequence == expected {
            seen.extend_from_slice(&frame.payload);
            expected += 1;
        }
    }
    assert!(seen == text);
}

#[tokio::test]
async fn bytes_written_before_a_drop_still_arrive() {
    let (mut channel, mut raw) = channel().await;
    channel.write_all(b"exit\n").await.unwrap();
    let closed = tokio::spawn(channel.close());
    let frame = raw.next_data().await;
    assert_eq!(frame.payload, "exit\n");
    raw.acknowledge(&frame.header).await;
    while raw.next().await.is_some() {}
    assert!(matches!(closed.await.unwrap(), CloseReason::Dropped));
}

#[tokio::test]
async fn a_drop_does_not_wait_for_a_silent_peer() {
    let (mut channel, raw) = channel().await;
    channel.write_all(&vec![0; 8 << 20][..1000]).await.unwrap();
    let closed = timeout(DEADLINE, channel.close()).await.unwrap();
    assert!(matches!(closed, CloseReason::Dropped));
    drop(raw);
}

#[tokio::test]
async fn output_can_be_read_after_a_shutdown() {
    let (mut channel, mut raw) = channel().await;
    channel.shutdown().await.unwrap();
    raw.send(0, PayloadType::Output, b"late").await;
    raw.channel_closed("").await;
    assert_eq!(read_all(&mut channel).await, "late");
    assert!(channel.write_all(b"x").await.is_err());
}

#[tokio::test]
async fn a_lost_connection_is_an_error_after_the_received_bytes() {
    let (mut channel, mut raw) = channel().await;
    raw.send(0, PayloadType::Output, b"half").await;
    assert_eq!(raw.next_acknowledged().await, 0);
    drop(raw);
    let mut text = String::new();
    let error = channel.read_to_string(&mut text).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert!(matches!(channel.closed().await, CloseReason::Lost(_)));
    let mut half = Vec::new();
    assert!(channel.read_to_end(&mut half).await.is_err(), "the error stays");
}

#[tokio::test]
async fn a_close_without_channel_closed_is_a_lost_connection() {
    let (mut channel, mut raw) = channel().await;
    raw.socket.close(None).await.unwrap();
    let error = channel.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert_eq!(error.to_string(), "connection closed by the peer");
    while raw.socket.next().await.is_some_and(|message| message.is_ok()) {}
}

#[tokio::test]
async fn pings_are_answered_and_the_first_is_sent_at_once() {
    let (_channel, mut raw) = channel().await;
    raw.socket.send(Message::Ping("are you there".into())).await.unwrap();
    let mut seen = (false, false);
    while seen != (true, true) {
        match timeout(DEADLINE, raw.socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Ping(payload) => seen.0 = payload == "keepalive",
            Message::Pong(payload) => seen.1 = payload == "are you there",
            other @ (Message::Text(_)
            | Message::Binary(_)
            | Message::Close(_)
            | Message::Frame(_)) => {
                panic!("{other:?}")
            }
        }
    }
}

#[tokio::test]
async fn a_peer_that_answers_no_pings_is_lost() {
    let (listener, url) = listen().await;
    let options = Options { keepalive: Duration::from_millis(10), ..Options::default() };
    let (channel, _raw) =
        tokio::join!(open_with(options, &url, "token", &[]), RawPeer::accept(&listener));
    let closed = timeout(DEADLINE, channel.unwrap().closed()).await.unwrap();
    let CloseReason::Lost(cause) = closed else { panic!("{closed:?}") };
    assert_eq!(cause.to_string(), "peer did not answer keepalive pings");
}

#[tokio::test]
async fn unread_output_is_acknowledged_up_to_a_limit() {
    let (mut channel, mut raw) = channel().await;
    let piece = vec![b'x'; 1 << 20];
    let mut sequence = 0;
    // The loop stops when acknowledgements cease.
    let stopped = loop {
        raw.send(sequence, PayloadType::Output, &piece).await;
        match timeout(Duration::from_millis(500), raw.next_acknowledged()).await {
            Ok(acknowledged) => assert_eq!(acknowledged, sequence),
            Err(_) => break sequence,
        }
        sequence += 1;
        assert!(sequence < 64, "the queue is unbounded");
    };
    assert!(stopped >= 8, "only {stopped} MiB");
    // Reading makes the client continue.
    let mut read = vec![0; piece.len() * 4];
    channel.read_exact(&mut read).await.unwrap();
    let acknowledged = timeout(DEADLINE, raw.next_acknowledged()).await.unwrap();
    assert_eq!(acknowledged, stopped);
}

#[tokio::test]
async fn writing_waits_while_nothing_is_acknowledged() {
    let (mut channel, mut raw) = channel().await;
    let writing = tokio::spawn(async move { channel.write_all(&vec![0; 64 << 20]).await });
    let mut taken = 0;
    let mut next = 0;
    // The oldest message is resent only when no new message may be sent.
    loop {
        let frame = raw.next_data().await;
        if frame.header.sequence < next {
            break;
        }
        next = frame.header.sequence + 1;
        taken += frame.payload.len();
    }
    assert_eq!(taken, 2048 * 1024);
    assert!(!writing.is_finished());
    drop(raw);
    assert!(writing.await.unwrap().is_err());
}

#[tokio::test]
async fn a_refused_upgrade_is_an_error_with_the_status() {
    let (listener, url) = listen().await;
    let refuse = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nsecret";
        stream.write_all(answer).await.unwrap();
        stream
    };
    let (opened, _stream) = tokio::join!(open(&url, "token", &[]), refuse);
    let error = opened.unwrap_err();
    assert!(matches!(error, OpenError::Refused(403)), "{error:?}");
}

#[tokio::test]
async fn opening_times_out_if_the_server_does_not_answer() {
    let (_listener, url) = listen().await;
    let options = Options { handshake_timeout: Duration::from_millis(20), ..Options::default() };
    let error = open_with(options, &url, "token", &[]).await.unwrap_err();
    assert!(matches!(error, OpenError::TimedOut), "{error:?}");
}

#[tokio::test]
async fn a_refused_connection_is_a_backend_error() {
    let (listener, url) = listen().await;
    drop(listener);
    let error = open(&url, "token", &[]).await.unwrap_err();
    assert!(matches!(error, OpenError::Backend(_)), "{error:?}");
}

#[tokio::test]
async fn an_invalid_url_or_header_is_an_error_before_connecting() {
    let bad = [("a b".to_owned(), "c".to_owned())];
    let worse = [("a".to_owned(), "b\nc".to_owned())];
    for (url, headers) in [
        ("", &[][..]),
        ("http://127.0.0.1:1/", &[]),
        ("ws:///path", &[]),
        ("ws://127.0.0.1:1/", &bad),
        ("ws://127.0.0.1:1/", &worse),
    ] {
        let error = open(url, "token", headers).await.unwrap_err();
        assert!(matches!(error, OpenError::InvalidRequest(_)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_secure_channel_requires_a_trusted_certificate() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let (listener, url) = listen().await;
    let url = url.replace("ws://127.0.0.1", "wss://localhost");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
    });
    let trusting = |roots: RootCertStore| {
        let config =
            rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        Options { tls: Some(Arc::new(config)), ..Options::default() }
    };
    let error = open_with(trusting(RootCertStore::empty()), &url, "token", &[]).await.unwrap_err();
    assert!(matches!(error, OpenError::Backend(_)), "{error:?}");

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let channel = open_with(trusting(roots), &url, "token", &[]).await.unwrap();
    assert!(matches!(channel.close().await, CloseReason::Dropped));
}

#[tokio::test]
async fn the_token_is_never_shown() {
    let (listener, url) = listen().await;
    let (channel, _raw) = tokio::join!(open(&url, "planted", &[]), RawPeer::accept(&listener));
    let shown = format!("{:?} {:?}", channel.unwrap(), Options::default());
    assert!(!shown.contains("planted"), "{shown}");
}
