//! Plays what AWS's session-manager-plugin 1.2.0 sends, as recorded from that program on a terminal whose
//! command, `cat`, prints nothing by itself.

use super::*;

/// What the plugin says of itself when it opens the channel.
fn opening() -> Value {
    json!({
        "MessageSchemaVersion": "1.0",
        "RequestId": "94c8cee3-f0de-4d11-9259-b813b51da029",
        "TokenValue": "t",
        "ClientId": "e36c9ec6-2f78-4b62-be69-5e849ec8c5be",
        "ClientVersion": "1.2.0.0",
    })
}

#[tokio::test]
async fn the_client_of_aws_types_into_a_command_that_prints_nothing() {
    let mut server = serve(Options { announce: true, ..Options::default() }).await;
    let mut plugin = RawPeer::connect(&server.url, &opening()).await;
    plugin.socket.send(Message::Ping("keepalive".into())).await.unwrap();

    // The plugin waits for a first message of output or of a handshake: it learns the type of the session
    // from it. Only then does it read the keyboard and send the size.
    let first = plugin.next_data().await;
    assert_eq!(first.header.payload_type, Some(PayloadType::Output));
    assert_eq!((first.header.sequence, &*first.payload), (0, &[][..]));
    assert!(first.is_intact(), "the plugin compares the digest");
    plugin.acknowledge(&first.header).await;

    plugin.send(0, PayloadType::Size, br#"{"cols":80,"rows":24}"#).await;
    plugin.send(1, PayloadType::Output, b"echo\n").await;
    assert!(matches!(server.event().await, Event::Size { cols: 80, rows: 24 }));
    assert_eq!(server.bytes().await, "echo\n");
    server.output.write_all(b"echo\r\n").await.unwrap();
    let echo = plugin.next_data().await;
    assert_eq!((echo.header.sequence, &*echo.payload), (1, &b"echo\r\n"[..]));
    plugin.acknowledge(&echo.header).await;

    // The size of the window again, on a change; the plugin compares it every 500 ms.
    plugin.send(2, PayloadType::Size, br#"{"cols":111,"rows":33}"#).await;
    // An unacknowledged message comes again after 200 ms, unchanged.
    plugin.send(2, PayloadType::Size, br#"{"cols":111,"rows":33}"#).await;
    plugin.send(3, PayloadType::Output, b"\x04").await;
    assert!(matches!(server.event().await, Event::Size { cols: 111, rows: 33 }));
    assert_eq!(server.bytes().await, "\x04");
    server.output.finish("");
    // The plugin prints the text and exits.
    let closed = loop {
        let frame = plugin.next().await.expect("the end comes before the close");
        if frame.header.message_type == MessageType::ChannelClosed {
            break frame;
        }
    };
    let closed: ChannelClosed = from_slice(&closed.payload).unwrap();
    assert_eq!((&*closed.session_id, &*closed.output), ("s", ""));
}
