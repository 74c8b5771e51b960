use runner::lines::{END, GREETING};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// A greeted text, and what is at the other end of its channel.
async fn open(room: usize) -> (Text<DuplexStream>, DuplexStream) {
    let (ours, mut theirs) = duplex(room);
    let mut text = Text::over(ours);
    let greets = async {
        theirs.write_all(format!("noise\r\n$ {GREETING}\r\n").as_bytes()).await.unwrap();
    };
    let (greeted, ()) = tokio::join!(text.greeting(), greets);
    greeted.unwrap();
    (text, theirs)
}

#[tokio::test]
async fn bytes_written_are_lines_for_the_other_side() {
    // Smaller than a line, so that every write is cut.
    let (mut text, mut theirs) = open(100).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let writes = async {
        text.write_all(&bytes).await.unwrap();
        text.flush().await.unwrap();
        drop(text);
    };
    let mut sent = Vec::new();
    let (read, ()) = tokio::join!(theirs.read_to_end(&mut sent), writes);
    read.unwrap();
    let (mut decoder, mut heard) = (Decoder::open(), Vec::new());
    decoder.feed(&sent, &mut heard).unwrap();
    assert!(heard == bytes);
    assert!(decoder.is_over(), "leaving is said");
}

#[tokio::test]
async fn lines_of_the_other_side_are_bytes_until_it_leaves() {
    let (mut text, mut theirs) = open(1 << 20).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut lines = Vec::new();
    lines::encode_into(&bytes, &mut lines);
    theirs.write_all(&lines).await.unwrap();
    theirs.write_all(END.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    text.read_to_end(&mut heard).await.unwrap();
    assert!(heard == bytes);
}

#[tokio::test]
async fn lines_that_are_none_break_it() {
    let (mut text, mut theirs) = open(1 << 10).await;
    theirs.write_all(b"----------ERROR-------\n").await.unwrap();
    let error = text.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn an_end_before_the_greeting_is_no_way_to_a_runner() {
    let (ours, mut theirs) = duplex(1 << 10);
    theirs.write_all(b"runner: Connection refused\r\n").await.unwrap();
    drop(theirs);
    let error = Text::over(ours).greeting().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
