use std::future::ready;

use tokio::io::duplex;

use super::*;

/// A keyboard without a terminal.
fn keyboard() -> Keyboard {
    Keyboard::open(true, Terminal::new(false)).expect("standard input can be used")
}

#[tokio::test(start_paused = true)]
async fn what_was_typed_waits_a_second_for_a_program_that_reads_nothing() {
    let mut keyboard = keyboard();
    keyboard.take(Some(vec![b'x'; 100]));
    let (mut keys, _server) = duplex(64);
    let start = Instant::now();
    keyboard.send_rest(&mut keys).await;
    assert!((SEND_TIME..SEND_TIME * 2).contains(&start.elapsed()));
    assert_eq!(keyboard.unsent(), 36);
}

#[tokio::test]
async fn bytes_that_were_dropped_before_a_new_connection_are_not_counted_after_it() {
    let mut keyboard = keyboard();
    keyboard.take(Some(vec![b'x'; MAX_WAITING]));
    keyboard.take(Some(b"abc".to_vec()));
    assert_eq!(keyboard.unsent(), MAX_WAITING + 3);
    let (mut keys, _server) = duplex(MAX_WAITING - 10);
    let (_sender, connected) = watch::channel(true);
    tokio::select! {
        biased;
        () = keyboard.send_until_detached(&mut keys, connected) => panic!("the user has not detached"),
        () = ready(()) => {}
    }
    assert_eq!(keyboard.unsent(), 10);
}
