use runner::lines::{END, GREETING};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// A stream after the greeting, and the other end of its channel.
async fn open(capacity: usize) -> (LineStream<DuplexStream>, DuplexStream) {
    let (ours, mut theirs) = duplex(capacity);
    let mut stream = LineStream::new(ours);
    let greet = async {
        theirs.write_all(format!("noise\r\n$ {GREETING}\r\n").as_bytes()).await.unwrap();
    };
    let (greeted, ()) = tokio::join!(stream.wait_for_greeting(), greet);
    greeted.unwrap();
    (stream, theirs)
}

#[tokio::test]
async fn written_bytes_are_sent_as_lines() {
    // Smaller than a line, so that every write is cut.
    let (mut stream, mut theirs) = open(100).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let writes = async {
        stream.write_all(&bytes).await.unwrap();
        stream.flush().await.unwrap();
        drop(stream);
    };
    let mut sent = Vec::new();
    let (read, ()) = tokio::join!(theirs.read_to_end(&mut sent), writes);
    read.unwrap();
    let (mut decoder, mut received) = (Decoder::open(), Vec::new());
    decoder.feed(&sent, &mut received).unwrap();
    assert!(received == bytes);
    assert!(decoder.is_over(), "the end line is sent");
}

#[tokio::test]
async fn received_lines_are_read_as_bytes_until_the_end_line() {
    let (mut stream, mut theirs) = open(1 << 20).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut lines = Vec::new();
    lines::encode_into(&bytes, &mut lines);
    theirs.write_all(&lines).await.unwrap();
    theirs.write_all(END.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert!(received == bytes);
}

#[tokio::test]
async fn an_invalid_line_is_an_error() {
    let (mut stream, mut theirs) = open(1 << 10).await;
    theirs.write_all(b"----------ERROR-------\n").await.unwrap();
    let error = stream.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_channel_that_ends_before_the_greeting_is_an_error() {
    let (ours, mut theirs) = duplex(1 << 10);
    theirs.write_all(b"runner: Connection refused\r\n").await.unwrap();
    drop(theirs);
    let error = LineStream::new(ours).wait_for_greeting().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
