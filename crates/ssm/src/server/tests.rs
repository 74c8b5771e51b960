mod aws_client;
mod malformed;
mod resume;

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, from_slice, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::{
    client::{self, Channel},
    message::{ChannelClosed, MessageType, PayloadType},
    raw_peer::{DEADLINE, RawPeer},
};

/// A server on loopback with one session `s`, whose token is `t`.
struct Server {
    url: String,
    session: Session,
    input: Input,
    output: Output,
    /// The result of each accepted connection.
    accepted: mpsc::UnboundedReceiver<Result<(), AcceptError>>,
}

async fn serve(options: Options) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/data-channel/s?role=x", listener.local_addr().unwrap());
    let (session, input, output) = session("s", options);
    let (results, accepted) = mpsc::unbounded_channel();
    let known = session.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (known, results) = (known.clone(), results.clone());
            tokio::spawn(async move {
                let found = |opening: &Opening| {
                    assert_eq!((&*opening.path, &*opening.query), ("/v1/data-channel/s", "role=x"));
                    (opening.session_id == known.id() && opening.token.is("t")).then_some(known)
                };
                let _ = results.send(accept(stream, found).await);
            });
        }
    });
    Server { url, session, input, output, accepted }
}

impl Server {
    async fn client(&self) -> Channel {
        client::open(&self.url, "t", &[]).await.unwrap()
    }

    async fn raw(&self) -> RawPeer {
        RawPeer::connect(&self.url, &json!({"MessageSchemaVersion": "1.0", "TokenValue": "t"}))
            .await
    }

    async fn event(&mut self) -> Event {
        timeout(DEADLINE, self.input.next()).await.unwrap().unwrap()
    }

    async fn bytes(&mut self) -> Bytes {
        match self.event().await {
            Event::Bytes(bytes) => bytes,
            other @ (Event::Size { .. } | Event::Closed(_)) => panic!("{other:?}"),
        }
    }
}

async fn read_all(channel: &mut Channel) -> String {
    let mut text = String::new();
    timeout(DEADLINE, channel.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

fn message(closed: &CloseReason) -> &str {
    match closed {
        CloseReason::Ended { message, .. } => message,
        CloseReason::Dropped | CloseReason::Lost(_) => panic!("{closed:?}"),
    }
}

/// Reads to the end of the session and returns the closing message.
async fn closing_message(raw: &mut RawPeer) -> String {
    loop {
        let frame = raw.next().await.expect("channel_closed precedes the end of the connection");
        if frame.header.message_type == MessageType::ChannelClosed {
            assert_eq!(frame.header.payload_type, None, "as the service writes it");
            return from_slice::<ChannelClosed>(&frame.payload).unwrap().output;
        }
    }
}

#[tokio::test]
async fn bytes_arrive_both_ways_and_the_end_follows_the_last_byte() {
    let mut server = serve(Options::default()).await;
    let mut channel = server.client().await;
    channel.write_all(b"hello").await.unwrap();
    assert_eq!(server.bytes().await, "hello");
    server.output.write_all(b"and good bye").await.unwrap();
    server.output.finish("done");
    assert_eq!(read_all(&mut channel).await, "and good bye");
    assert_eq!(message(&channel.closed().await), "done");
    let Some(Event::Closed(closed)) = server.input.next().await else { panic!("not closed") };
    assert_eq!(message(&closed), "done");
    assert!(server.input.next().await.is_none());
    assert!(server.session.is_over());
}

#[tokio::test]
async fn megabytes_arrive_both_ways_at_once_unchanged() {
    let mut server = serve(Options::default()).await;
    let (mut read, mut write) = tokio::io::split(server.client().await);
    let text: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7) as u8).collect();
    let sent = text.clone();
    let typing = tokio::spawn(async move { write.write_all(&sent).await.map(|()| write) });
    let mut output = server.output;
    let echo = tokio::spawn(async move {
        let mut seen = 0;
        while seen < 3_000_000 {
            let Some(Event::Bytes(bytes)) = server.input.next().await else { panic!("no bytes") };
            seen += bytes.len();
            output.write_all(&bytes).await.unwrap();
        }
    });
    let mut back = Vec::new();
    timeout(DEADLINE, read.read_to_end(&mut back)).await.unwrap().unwrap();
    assert!(back == text);
    let _write = typing.await.unwrap().unwrap();
    echo.await.unwrap();
}

#[tokio::test]
async fn output_written_before_the_client_connects_waits_for_it() {
    let mut server = serve(Options::default()).await;
    server.output.write_all(b"early").await.unwrap();
    drop(server.output);
    let mut channel = client::open(&server.url, "t", &[]).await.unwrap();
    assert_eq!(read_all(&mut channel).await, "early");
}

#[tokio::test]
async fn a_command_without_output_still_sends_its_closing_message() {
    let server = serve(Options::default()).await;
    server.output.finish("gone");
    let mut channel = client::open(&server.url, "t", &[]).await.unwrap();
    assert_eq!(read_all(&mut channel).await, "");
    assert_eq!(message(&channel.closed().await), "gone");
}

#[tokio::test]
async fn the_size_of_the_terminal_is_an_event() {
    let mut server = serve(Options::default()).await;
    let channel = server.client().await;
    channel.resize(120, 40);
    assert!(matches!(server.event().await, Event::Size { cols: 120, rows: 40 }));
    drop(channel);
}

#[tokio::test]
async fn a_reconnected_client_continues_its_streams() {
    let mut server = serve(Options::default()).await;
    let mut raw = server.raw().await;
    server.output.write_all(b"one").await.unwrap();
    let one = raw.next_data().await;
    raw.acknowledge(&one.header).await;
    server.output.write_all(b"two").await.unwrap();
    let two = raw.next_data().await;
    assert_eq!(two.header.sequence, 1);
    raw.send(0, PayloadType::Output, b"in one").await;
    assert_eq!(server.bytes().await, "in one");
    drop(raw);

    server.output.write_all(b"three").await.unwrap();
    let mut raw = server.raw().await;
    let again = raw.next_data().await;
    assert_eq!(again, two, "the same message, with its number and id");
    raw.acknowledge(&again.header).await;
    let mut three = raw.next_data().await;
    while three.header.sequence < 2 {
        three = raw.next_data().await;
    }
    assert_eq!((three.header.sequence, &*three.payload), (2, &b"three"[..]));
    raw.send(0, PayloadType::Output, b"in one").await;
    raw.send(1, PayloadType::Output, b"in two").await;
    assert_eq!(server.bytes().await, "in two");
}

#[tokio::test]
async fn a_second_connection_replaces_the_first() {
    let mut server = serve(Options::default()).await;
    let mut first = server.raw().await;
    server.output.write_all(b"x").await.unwrap();
    first.next_data().await;
    let mut second = server.raw().await;
    assert_eq!(second.next_data().await.payload, "x");
    while first.next().await.is_some() {}
    second.send(0, PayloadType::Output, b"still here").await;
    assert_eq!(server.bytes().await, "still here");
}

#[tokio::test]
async fn the_end_waits_for_the_last_acknowledgement() {
    let mut server = serve(Options::default()).await;
    let mut raw = server.raw().await;
    server.output.write_all(b"last words").await.unwrap();
    server.output.finish("bye");
    let last = raw.next_data().await;
    // The message is resent and channel_closed was not sent: `next_data` would skip it, and the check below would fail.
    assert_eq!(raw.next_data().await, last);
    raw.acknowledge(&last.header).await;
    assert_eq!(closing_message(&mut raw).await, "bye");
    while raw.next().await.is_some() {}
}

#[tokio::test]
async fn the_end_waits_for_the_drain_timeout_only() {
    let options = Options { drain: Duration::from_millis(50), ..Options::default() };
    let mut server = serve(options).await;
    let mut raw = server.raw().await;
    server.output.write_all(b"last words").await.unwrap();
    drop(server.output);
    assert_eq!(closing_message(&mut raw).await, "");
}

#[tokio::test]
async fn an_idle_session_is_ended() {
    let options = Options { idle: Duration::from_millis(50), ..Options::default() };
    let mut without_client = serve(options.clone()).await;
    assert!(matches!(without_client.event().await, Event::Closed(_)));

    let mut server = serve(options).await;
    let mut channel = server.client().await;
    assert_eq!(read_all(&mut channel).await, "");
    assert_eq!(message(&channel.closed().await), "session timed out due to inactivity");
    assert!(matches!(server.event().await, Event::Closed(_)));
}

#[tokio::test]
async fn a_client_that_acknowledges_nothing_is_disconnected_and_the_session_ends_without_one() {
    let (acknowledgement, linger) = (Duration::from_millis(100), Duration::from_millis(50));
    let mut server = serve(Options { acknowledgement, linger, ..Options::default() }).await;
    let _silent = server.raw().await;
    server.accepted.recv().await.unwrap().unwrap();
    server.output.write_all(b"never acknowledged").await.unwrap();
    let Event::Closed(closed) = server.event().await else { panic!("the session goes on") };
    assert_eq!(message(&closed), "client did not reconnect");
}

#[tokio::test]
async fn a_session_can_be_ended_by_the_server_and_by_its_client() {
    let mut server = serve(Options::default()).await;
    let channel = server.client().await;
    server.accepted.recv().await.unwrap().unwrap();
    server.session.end("task stopped");
    assert_eq!(message(&channel.closed().await), "task stopped");
    assert!(matches!(server.event().await, Event::Closed(_)));
    assert!(server.output.write_all(b"x").await.is_err());

    let mut server = serve(Options::default()).await;
    let mut raw = server.raw().await;
    raw.send(0, PayloadType::Flag, &2_u32.to_be_bytes()).await;
    assert_eq!(closing_message(&mut raw).await, "");
    assert!(matches!(server.event().await, Event::Closed(_)));
}

#[tokio::test]
async fn an_invalid_token_or_an_ended_session_closes_the_connection() {
    let mut server = serve(Options::default()).await;
    let wrong = client::open(&server.url, "wrong", &[]).await.unwrap();
    let CloseReason::Lost(error) = wrong.closed().await else { panic!("it is no end") };
    assert!(error.to_string().contains("the token was used, has expired or is wrong"), "{error}");
    assert!(matches!(server.accepted.recv().await, Some(Err(AcceptError::Unknown))));
    // AWS's client resumes a connection that ends without this message.
    let opening = json!({"MessageSchemaVersion": "1.0", "TokenValue": "wrong"});
    let mut raw = RawPeer::connect(&server.url, &opening).await;
    assert!(closing_message(&mut raw).await.starts_with("the token was used"));
    drop(raw);
    assert!(matches!(server.accepted.recv().await, Some(Err(AcceptError::Unknown))));

    server.session.end("");
    assert!(matches!(server.event().await, Event::Closed(_)));
    let late = client::open(&server.url, "t", &[]).await.unwrap();
    assert!(matches!(late.closed().await, CloseReason::Lost(_)));
    assert!(matches!(server.accepted.recv().await, Some(Err(AcceptError::Unknown))));
}

#[tokio::test]
async fn a_client_without_a_valid_opening_message_is_refused() {
    let mut server = serve(Options::default()).await;
    for opening in [json!({}), json!([]), json!({"TokenValue": 1})] {
        let mut raw = RawPeer::connect(&server.url, &opening).await;
        assert!(raw.next().await.is_none());
        assert!(matches!(server.accepted.recv().await, Some(Err(AcceptError::NotOpened))));
    }
    let address = server.url.trim_start_matches("ws://").split('/').next().unwrap().to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(matches!(server.accepted.recv().await, Some(Err(AcceptError::Upgrade(_)))));
}

/// The deviations of the npm package `ssm-session`: a numeric or missing version, a message type padded with leading NULs, half of
/// the hexadecimal digest as digest, and an acknowledgement of every message, even of acknowledgements, as if it were output.
#[tokio::test]
async fn a_client_with_known_deviations_is_accepted() {
    let mut server = serve(Options::default()).await;
    let opening = json!({"MessageSchemaVersion": 1, "RequestId": "x", "TokenValue": "t"});
    let mut raw = RawPeer::connect(&server.url, &opening).await;
    let mut message = raw.header(0, PayloadType::Output).encode(b"ls").to_vec();
    message[4..36].fill(0);
    message[36 - "input_stream_data".len()..36].copy_from_slice(b"input_stream_data");
    message[80..112].copy_from_slice(b"0123456789abcdef0123456789abcdef");
    raw.send_raw(message).await;
    assert_eq!(server.bytes().await, "ls");
    server.output.write_all(b"file").await.unwrap();
    server.output.finish("");
    let mut types = Vec::new();
    while let Some(mut frame) = raw.next().await {
        types.push(frame.header.message_type.clone());
        frame.header.message_type = MessageType::OutputStreamData;
        raw.acknowledge(&frame.header).await;
    }
    let start = types.iter().position(|kind| *kind == MessageType::StartPublication);
    assert_eq!(start, Some(0), "the client waits for start_publication");
    assert!(types.contains(&MessageType::OutputStreamData));
    assert_eq!(types.last(), Some(&MessageType::ChannelClosed));
}

#[tokio::test]
async fn a_handshake_is_made_if_requested() {
    let mut server = serve(Options { handshake: true, ..Options::default() }).await;
    let mut channel = server.client().await;
    server.output.write_all(b"after it").await.unwrap();
    drop(server.output);
    assert_eq!(read_all(&mut channel).await, "after it");
}

#[tokio::test]
async fn repeated_input_is_acknowledged_twice_and_delivered_once() {
    let mut server = serve(Options::default()).await;
    let mut raw = server.raw().await;
    for sequence in [0, 0, 1] {
        raw.send(sequence, PayloadType::Output, &[b'0' + sequence as u8]).await;
        assert_eq!(raw.next_acknowledged().await, sequence);
    }
    assert_eq!((server.bytes().await, server.bytes().await), ("0".into(), "1".into()));
}

#[tokio::test]
async fn pings_are_answered_and_sent() {
    let server = serve(Options::default()).await;
    let mut raw = server.raw().await;
    raw.socket.send(Message::Ping("hello".into())).await.unwrap();
    let mut seen = (false, false);
    while seen != (true, true) {
        match timeout(DEADLINE, raw.socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Ping(_) => seen.0 = true,
            Message::Pong(payload) => seen.1 = payload == "hello",
            Message::Binary(_) => {}
            other @ (Message::Text(_) | Message::Close(_) | Message::Frame(_)) => {
                panic!("{other:?}")
            }
        }
    }
}

#[tokio::test]
async fn the_token_of_an_opening_is_never_shown() {
    let opening = Opening {
        path: "/s".to_owned(),
        query: String::new(),
        session_id: "s".to_owned(),
        token: crate::message::Token::new("planted"),
        client_id: None,
        client_version: None,
    };
    assert!(!format!("{opening:?}").contains("planted"));
}

#[tokio::test]
async fn channel_closed_has_the_id_of_the_session() {
    let mut server = serve(Options::default()).await;
    let mut raw = server.raw().await;
    server.accepted.recv().await.unwrap().unwrap();
    server.session.end("bye");
    loop {
        let frame = raw.next().await.unwrap();
        if frame.header.message_type == MessageType::ChannelClosed {
            let closed: Value = from_slice(&frame.payload).unwrap();
            assert_eq!((&closed["SessionId"], &closed["Output"]), (&json!("s"), &json!("bye")));
            break;
        }
    }
}
