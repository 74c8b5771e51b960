//! Opening the connection of a channel, for the first time and again.

use std::{sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use rustls::ClientConfig;
use tokio::{
    sync::{mpsc::WeakUnboundedSender, watch},
    time::timeout,
};
use tokio_tungstenite::tungstenite::{Message, handshake::client::Request};

use super::{OpenError, backend, connect};
use crate::{
    driver::{Command, Socket},
    frame::Frame,
    message::{MessageType, OpenDataChannel},
};

/// The time between two attempts to reach the server.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// What a connection of a channel leads to, and how it is opened.
pub(super) struct Target {
    pub(super) request: Request,
    pub(super) opening: OpenDataChannel,
    /// For connecting, TLS and the upgrade together.
    pub(super) timeout: Duration,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// Connects and sends the opening message.
    pub(super) async fn connect(&self) -> Result<Socket, OpenError> {
        let connected = connect::connect(self.request.clone(), self.tls.clone());
        let connected = timeout(self.timeout, connected).await;
        let mut socket = connected.map_err(|_| OpenError::TimedOut)??;
        let opening = serde_json::to_string(&self.opening).expect("strings can be serialized");
        socket.send(Message::text(opening)).await.map_err(backend)?;
        Ok(socket)
    }

    /// Connects again; `None` if the server does not accept that: it closes the connection instead of sending
    /// `start_publication`.
    async fn resume(&self) -> Result<Option<Socket>, OpenError> {
        let mut socket = self.connect().await?;
        let accepted = async {
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Binary(message) = message {
                    let frame = Frame::decode(message).ok();
                    let starts =
                        |frame: Frame| frame.header.message_type == MessageType::StartPublication;
                    return frame.is_some_and(starts);
                }
            }
            false
        };
        let accepted = timeout(self.timeout, accepted).await.map_err(|_| OpenError::TimedOut)?;
        Ok(accepted.then_some(socket))
    }
}

/// Opens the connection again each time it is lost, until the channel has ended or the server refuses.
pub(super) async fn keep_connected(
    target: Target,
    commands: WeakUnboundedSender<Command>,
    mut connected: watch::Receiver<bool>,
) {
    // An error means that the channel has ended.
    while connected.wait_for(|connected| !connected).await.is_ok() {
        let command = match target.resume().await {
            Ok(Some(socket)) => Command::Connect(Box::new(socket)),
            Ok(None) | Err(OpenError::Refused(_)) => Command::GiveUp,
            Err(error) => {
                tracing::debug!("a lost connection could not be opened again: {error}");
                if timeout(RETRY_DELAY, connected.changed()).await.is_ok() {
                    return;
                }
                continue;
            }
        };
        // The channel was dropped if there is no sender, and ends by itself.
        let Some(commands) = commands.upgrade() else { return };
        if commands.send(command).is_err() {
            return;
        }
        drop(commands);
        // Any change, because the new connection may be lost before this task sees that there is one.
        if connected.changed().await.is_err() {
            return;
        }
    }
}
