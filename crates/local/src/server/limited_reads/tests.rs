use tokio::io::{AsyncWriteExt, duplex};

use super::*;

#[tokio::test]
async fn a_stream_hands_over_more_at_once_while_a_request_of_a_user_is_handled() {
    let (mut ours, theirs) = duplex(100);
    ours.write_all(&[0; 100]).await.unwrap();
    let phase = SharedPhase::new();
    let mut stream = LimitedReads::new(theirs, phase.clone(), 10);
    let mut buffer = [0; 50];
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 10);
    let serving = phase.serve();
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 10, "the user is not known yet");
    phase.authenticated();
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 50);
    drop(serving);
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 10, "the next header");
}
