use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::client::{self, Channel};

/// A server on loopback with one session `s`, whose token is `t`.
async fn listen(options: Options) -> (String, Session, Input, Output) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (session, input, output) = session("s", options);
    let known = session.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let known = known.clone();
            tokio::spawn(accept(stream, move |opening| {
                (opening.session_id == known.id() && opening.token.is("t")).then_some(known)
            }));
        }
    });
    (format!("ws://{address}/v1/data-channel/s?role=publish_subscribe"), session, input, output)
}

async fn read_all(channel: &mut Channel) -> String {
    let mut text = String::new();
    channel.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_end_comes_after_the_last() {
    let (url, session, mut input, mut output) = listen(Options::default()).await;
    let mut channel = client::open(&url, "t", &[]).await.unwrap();
    channel.write_all(b"hello").await.unwrap();
    let Some(Event::Bytes(bytes)) = input.next().await else { panic!("no bytes") };
    assert_eq!(bytes, "hello");
    output.write_all(b"and good bye").await.unwrap();
    output.finish("done");
    assert_eq!(read_all(&mut channel).await, "and good bye");
    let Closed::Ended { message, exit_code: None } = channel.closed().await else {
        panic!("not ended")
    };
    assert_eq!(message, "done");
    assert!(matches!(input.next().await, Some(Event::Closed(Closed::Ended { .. }))));
    assert!(input.next().await.is_none());
    assert!(session.is_over());
}
