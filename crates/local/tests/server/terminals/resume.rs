//! A terminal whose connection is cut.

use sha2::{Digest, Sha256};
use ssm::client::Options;
use tokio::io::AsyncRead;

use super::*;

/// How many connections are cut, and how many bytes of either direction each carries before that.
const CUTS: usize = 4;
const CUT_AFTER: u64 = 200_000;

/// Whether a frame is the message by which a channel is refused.
fn is_refusal(frame: &[u8]) -> bool {
    frame.windows(14).any(|part| part == b"channel_closed")
}

/// The URL of an offer through a proxy that cuts connections without a word.
async fn through_proxy(offer: &Value) -> String {
    let url = offer["streamUrl"].as_str().expect("a URL").to_owned();
    let server = url.trim_start_matches("ws://").split('/').next().expect("an address").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = url.replace(&server, &listener.local_addr().expect("an address").to_string());
    tokio::spawn(async move {
        for connection in 1.. {
            let (client, _) = listener.accept().await.expect("a client");
            let server = TcpStream::connect(&server).await.expect("the server listens");
            let limit = if connection <= CUTS { CUT_AFTER } else { u64::MAX };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(async move {
                tokio::select! {
                    () = copy(from_client, to_server, limit) => {}
                    () = copy(from_server, to_client, limit) => {}
                }
            });
        }
    });
    url
}

async fn copy(
    from: impl AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    limit: u64,
) {
    // A failed copy ends as one at its limit.
    let _ = tokio::io::copy(&mut from.take(limit), &mut to).await;
}

pub(in super::super) async fn a_connection_cut_amid_a_paste_and_output_loses_and_doubles_nothing() {
    let shell = Fixture::start(json!({})).await;
    let pasted: String = (0..150_000).map(|line| format!("{line}\n")).collect();
    let line = format!(
        "stty raw -echo; echo ready; head -c {} | sha256sum; seq 0 149999; exit 3",
        pasted.len()
    );
    let (job, offer) = shell.line(&line).await;
    let url = through_proxy(&offer).await;
    let token = offer["tokenValue"].as_str().expect("a token");
    let options = Options { resume: TIME_LIMIT, ..Options::default() };
    let mut channel = ssm::client::open_with(options, &url, token, &[]).await.expect("a channel");
    until(&mut channel, "ready\n").await;
    let reason = channel.closed();
    let (mut screen, mut keys) = tokio::io::split(channel);
    let mut shown = String::new();
    let used = async {
        tokio::join!(keys.write_all(pasted.as_bytes()), screen.read_to_string(&mut shown))
    };
    let (typed, read) = timeout(TIME_LIMIT, used).await.expect("it ends in time");
    typed.expect("it is sent");
    read.expect("the channel ends properly");
    let (sum, numbers) = shown.split_once("  -\n").expect("the line of sha256sum");
    let expected = Sha256::digest(&pasted);
    assert_eq!(sum, format!("{expected:x}"), "input was lost or doubled");
    assert!(numbers == pasted, "output was lost or doubled");
    assert!(matches!(reason.await, CloseReason::Ended { .. }));
    assert_eq!(shell.user.end_of(&job).await["exitCode"], 3);
    let events = shell.events().await;
    let terminal: Vec<_> =
        events.iter().filter_map(|kind| kind.strip_prefix("terminal_")).collect();
    assert_eq!(terminal, ["opened", "attached", "closed"], "a cut is no event");
    shell.stop().await;
}

pub(in super::super) async fn only_the_client_of_a_channel_can_resume_it() {
    let shell = Fixture::start(json!({})).await;
    let (_, offer) = shell.line("echo shown; read line; echo got $line").await;
    let url = offer["streamUrl"].as_str().expect("a URL");
    let connect = async |token: &Value, client: Value| {
        let (mut socket, _) = socket(url, None).await.expect("the server upgrades");
        let opening =
            json!({"MessageSchemaVersion": "1.0", "TokenValue": token, "ClientId": client});
        socket.send(Message::Text(opening.to_string().into())).await.expect("it is sent");
        let first = timeout(TIME_LIMIT, async {
            loop {
                match socket.next().await {
                    // A refusal is a message as well.
                    Some(Ok(Message::Binary(bytes))) => return !is_refusal(&bytes),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => return false,
                }
            }
        });
        (first.await.expect("an answer in time"), socket)
    };
    let (token, wrong) = (&offer["tokenValue"], json!("wrong"));
    let (accepted, lost) = connect(token, json!("one")).await;
    assert!(accepted);
    drop(lost);
    assert!(!connect(token, json!("another")).await.0, "another client");
    assert!(!connect(token, Value::Null).await.0, "a client without an id");
    assert!(!connect(&wrong, json!("one")).await.0, "a wrong token");
    let (accepted, mut same) = connect(token, json!("one")).await;
    assert!(accepted, "attempts of others do not end the channel");
    same.close(None).await.expect("it is closed");
    while let Some(Ok(_)) = same.next().await {}
    assert!(!connect(token, json!("one")).await.0, "the client has left");
    shell.stop().await;
}
