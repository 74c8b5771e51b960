use runner::lines::{END, GREETING};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// A stream after the greeting, and the other end of its channel.
async fn open(capacity: usize) -> (LineStream<DuplexStream>, DuplexStream) {
    let (near, mut far) = duplex(capacity);
    let mut stream = LineStream::new(near);
    let greet = async {
        far.write_all(format!("noise\r\n$ {GREETING}\r\n").as_bytes()).await.unwrap();
    };
    let (greeted, ()) = tokio::join!(stream.wait_for_greeting(), greet);
    greeted.unwrap();
    (stream, far)
}

#[tokio::test]
async fn written_bytes_are_sent_as_lines() {
    // Smaller than a line, so that every write is cut.
    let (mut stream, mut far) = open(100).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let writes = async {
        stream.write_all(&bytes).await.unwrap();
        stream.flush().await.unwrap();
        drop(stream);
    };
    let mut sent = Vec::new();
    let (read, ()) = tokio::join!(far.read_to_end(&mut sent), writes);
    read.unwrap();
    let (mut decoder, mut received) = (Decoder::open(), Vec::new());
    decoder.feed(&sent, &mut received).unwrap();
    assert!(received == bytes);
    assert!(decoder.is_over(), "the end line is sent");
}

#[tokio::test]
async fn received_lines_are_read_as_bytes_until_the_end_line() {
    let (mut stream, mut far) = open(1 << 20).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut lines = Vec::new();
    lines::encode_into(&bytes, &mut lines);
    far.write_all(&lines).await.unwrap();
    far.write_all(END.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert!(received == bytes);
}

#[tokio::test]
async fn an_invalid_line_is_an_error() {
    let (mut stream, mut far) = open(1 << 10).await;
    far.write_all(b"----------ERROR-------\n").await.unwrap();
    let error = stream.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_channel_that_ends_before_the_greeting_is_an_error() {
    let (near, mut far) = duplex(1 << 10);
    far.write_all(b"runner: Connection refused\r\n").await.unwrap();
    drop(far);
    let error = LineStream::new(near).wait_for_greeting().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
