//! The peer of a test: a WebSocket whose messages are read and written one by one.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, from_slice, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    frame::{FIN, Frame, Header, MessageId, SYN},
    message::{Acknowledge, MessageType, PayloadType},
};

/// A timeout far longer than any step of a test takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct RawPeer {
    pub(crate) socket: WebSocketStream<TcpStream>,
    sends: MessageType,
}

impl RawPeer {
    /// Connects a client that has sent its opening message.
    pub(crate) async fn connect(url: &str, opening: &Value) -> Self {
        let address = url.trim_start_matches("ws://").split('/').next().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut socket, _) =
            client_async(url.into_client_request().unwrap(), stream).await.unwrap();
        socket.send(Message::text(opening.to_string())).await.unwrap();
        Self { socket, sends: MessageType::InputStreamData }
    }

    /// Accepts a client and reads its opening message.
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        let opening = socket.next().await.unwrap().unwrap();
        assert!(matches!(opening, Message::Text(_)), "{opening:?}");
        Self { socket, sends: MessageType::OutputStreamData }
    }

    pub(crate) async fn send(&mut self, sequence: i64, payload_type: PayloadType, payload: &[u8]) {
        let message = self.header(sequence, payload_type).encode(payload);
        self.send_raw(message.to_vec()).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Vec<u8>) {
        self.socket.send(Message::binary(message)).await.unwrap();
    }

    pub(crate) fn header(&self, sequence: i64, payload_type: PayloadType) -> Header {
        Header {
            message_type: self.sends.clone(),
            created: 1,
            sequence,
            flags: 0,
            id: MessageId::from_random(sequence as u128),
            payload_type: Some(payload_type),
        }
    }

    /// The next binary message; `None` if the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let message =
                timeout(DEADLINE, self.socket.next()).await.expect("a message arrives in time");
            match message?.ok()? {
                Message::Binary(message) => return Some(Frame::decode(message).unwrap()),
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
                other @ (Message::Text(_) | Message::Frame(_)) => panic!("{other:?}"),
            }
        }
    }

    /// The next stream message; other messages are skipped.
    pub(crate) async fn next_data(&mut self) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection is open");
            match frame.header.message_type {
                MessageType::InputStreamData | MessageType::OutputStreamData => return frame,
                MessageType::Acknowledge
                | MessageType::StartPublication
                | MessageType::PausePublication
                | MessageType::ChannelClosed
                | MessageType::Other(_) => {}
            }
        }
    }

    /// The sequence number of the next acknowledgement.
    pub(crate) async fn next_acknowledged(&mut self) -> i64 {
        loop {
            let frame = self.next().await.expect("the connection is open");
            if frame.header.message_type == MessageType::Acknowledge {
                return from_slice::<Acknowledge<'_>>(&frame.payload).unwrap().sequence;
            }
        }
    }

    pub(crate) async fn acknowledge(&mut self, of: &Header) {
        let payload = json!({
            "AcknowledgedMessageType": of.message_type.as_str(),
            "AcknowledgedMessageId": of.id.to_string(),
            "AcknowledgedMessageSequenceNumber": of.sequence,
            "IsSequentialMessage": true,
        });
        let header = Header {
            message_type: MessageType::Acknowledge,
            created: 1,
            sequence: 0,
            flags: SYN | FIN,
            id: MessageId::from_random(u128::MAX),
            payload_type: Some(PayloadType::Absent),
        };
        self.send_raw(header.encode(payload.to_string().as_bytes()).to_vec()).await;
    }

    pub(crate) async fn channel_closed(&mut self, output: &str) {
        let header = Header {
            message_type: MessageType::ChannelClosed,
            payload_type: None,
            ..self.header(0, PayloadType::Absent)
        };
        let payload = json!({"MessageType": "channel_closed", "Output": output}).to_string();
        self.send_raw(header.encode(payload.as_bytes()).to_vec()).await;
    }
}
