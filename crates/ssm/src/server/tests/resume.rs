//! A connection that is cut, and the client that resumes its channel.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{io::copy_bidirectional, sync::watch};

use super::*;

/// A client that resumes.
fn resuming() -> client::Options {
    client::Options { resume: DEADLINE, ..client::Options::default() }
}

/// A proxy that closes the connections through it, without a word, each time `cut` changes.
async fn proxy(server: &Server, cut: &watch::Sender<()>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let target = server.url.trim_start_matches("ws://").split('/').next().unwrap().to_owned();
    let url = server.url.replace(&target, &address);
    let (cut, count) = (cut.subscribe(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let (target, mut cut) = (target.clone(), cut.clone());
            cut.mark_unchanged();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    _ = cut.changed() => {}
                }
            });
        }
    });
    (url, count)
}

/// Numbered lines.
fn lines(name: &str, count: usize) -> Vec<u8> {
    (0..count).flat_map(|line| format!("{name} {line}\n").into_bytes()).collect()
}

#[tokio::test]
async fn a_connection_cut_in_both_directions_loses_and_doubles_nothing() {
    let mut server = serve(Options { chunk: 4096, ..Options::default() }).await;
    let cut = watch::Sender::new(());
    let (url, connections) = proxy(&server, &cut).await;
    let channel = client::open_with(resuming(), &url, "t", &[]).await.unwrap();
    let (mut screen, mut keys) = tokio::io::split(channel);
    let (input, output) = (lines("input", 100_000), lines("output", 100_000));
    let typing = async { keys.write_all(&input).await.unwrap() };
    let printing = async { server.output.write_all(&output).await.unwrap() };
    let mut typed = Vec::new();
    let reading = async {
        while typed.len() < input.len() {
            match timeout(DEADLINE, server.input.next()).await.unwrap().unwrap() {
                Event::Bytes(bytes) => typed.extend_from_slice(&bytes),
                other @ (Event::Size { .. } | Event::Closed(_)) => panic!("{other:?}"),
            }
        }
    };
    let mut shown = vec![0; output.len()];
    let showing = async {
        for part in shown.chunks_mut(output.len() / 5) {
            timeout(DEADLINE, screen.read_exact(part)).await.unwrap().unwrap();
            cut.send_replace(());
        }
    };
    tokio::join!(typing, printing, reading, showing);
    assert!(typed == input, "input is lost, doubled or out of order");
    assert!(shown == output, "output is lost, doubled or out of order");
    let connections = connections.load(Ordering::Relaxed);
    assert!(connections > 1, "no connection was cut");
}

#[tokio::test]
async fn the_end_and_the_last_output_reach_a_client_that_was_away() {
    let mut server = serve(Options { ends_with_client: true, ..Options::default() }).await;
    let cut = watch::Sender::new(());
    let (url, _) = proxy(&server, &cut).await;
    let mut channel = client::open_with(resuming(), &url, "t", &[]).await.unwrap();
    let (mut byte, mut connected) = ([0], channel.connected());
    server.output.write_all(b"1").await.unwrap();
    timeout(DEADLINE, channel.read_exact(&mut byte)).await.unwrap().unwrap();
    cut.send_replace(());
    server.output.write_all(b"2").await.unwrap();
    server.output.finish("over");
    timeout(DEADLINE, connected.wait_for(|connected| !connected)).await.unwrap().unwrap();
    assert_eq!(read_all(&mut channel).await, "2");
    assert!(
        matches!(channel.closed().await, CloseReason::Ended { message, .. } if message == "over")
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_session_and_one_that_is_lost_does_not() {
    let options = Options { ends_with_client: true, ..Options::default() };
    let mut server = serve(options.clone()).await;
    server.client().await.close().await;
    assert!(matches!(server.event().await, Event::Closed(_)));

    let mut server = serve(options).await;
    drop(server.raw().await);
    server.accepted.recv().await.unwrap().unwrap();
    let mut again = server.raw().await;
    again.send(0, PayloadType::Output, b"again").await;
    assert_eq!(server.bytes().await, "again");
}

#[tokio::test]
async fn a_channel_that_the_server_does_not_resume_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/data-channel/s", listener.local_addr().unwrap());
    let opened = client::open_with(resuming(), &url, "t", &[]);
    let (opened, mut first) = tokio::join!(opened, RawPeer::accept(&listener));
    let mut channel = opened.unwrap();
    first.send(0, PayloadType::Output, b"1").await;
    timeout(DEADLINE, channel.read_exact(&mut [0])).await.unwrap().unwrap();
    drop(first);
    // The opening message comes again, and is not answered by start_publication.
    drop(RawPeer::accept(&listener).await);
    assert!(timeout(DEADLINE, channel.read_exact(&mut [0])).await.unwrap().is_err());
    assert!(matches!(channel.closed().await, CloseReason::Lost(_)));
}
