use std::time::Duration;

use futures::StreamExt;
use thiserror::Error;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

use super::Session;
use crate::{
    closed::BoxError,
    driver::{Connection, Io, Socket, socket_config},
    message::{OpenDataChannel, Token},
};

/// How long a client may take to open its channel.
const PATIENCE: Duration = Duration::from_secs(45);

/// What a client asks for when it opens a channel.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Of the URL, with the leading slash.
    pub path: String,
    /// Of the URL, without the question mark; empty if there is none.
    pub query: String,
    /// The last part of the path.
    pub session_id: String,
    pub token: Token,
    pub client_id: Option<String>,
    pub client_version: Option<String>,
}

/// No channel for this connection.
#[derive(Debug, Error)]
pub enum AcceptError {
    #[error("upgrade failed")]
    Upgrade(#[source] BoxError),
    #[error("client did not open the channel")]
    NotOpened,
    #[error("no such session, or not this token")]
    Unknown,
}

/// Upgrades a fresh connection, reads what the client asks for and hands the connection to the session that `find` gives. A connection
/// that the session has already is closed; counters and what is unacknowledged go on with this one.
pub async fn accept<F>(stream: TcpStream, find: F) -> Result<(), AcceptError>
where
    F: FnOnce(&Opening) -> Option<Session>,
{
    let until = Instant::now() + PATIENCE;
    let upgrade = timeout_at(until, upgrade(stream)).await;
    let (mut socket, uri) = upgrade.map_err(|late| AcceptError::Upgrade(late.into()))??;
    let opened = timeout_at(until, opening_message(&mut socket)).await.ok().flatten();
    let Some(message) = opened else {
        close(socket).await;
        return Err(AcceptError::NotOpened);
    };
    let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
    let opening = Opening {
        path: path.to_owned(),
        query: query.to_owned(),
        session_id: path.rsplit('/').next().unwrap_or_default().to_owned(),
        token: message.token,
        client_id: message.client_id,
        client_version: message.client_version,
    };
    match find(&opening) {
        Some(session) if !session.is_over() => session.connect(socket),
        _ => {
            close(socket).await;
            Err(AcceptError::Unknown)
        }
    }
}

/// Takes any path and any headers. Gives path and query.
async fn upgrade(stream: TcpStream) -> Result<(Socket, String), AcceptError> {
    stream.set_nodelay(true).map_err(|error| AcceptError::Upgrade(error.into()))?;
    let stream: Box<dyn Io> = Box::new(stream);
    let mut uri = String::new();
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        uri = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        Ok(response)
    };
    let socket = accept_hdr_async_with_config(stream, note, Some(socket_config())).await;
    let socket = socket.map_err(|error| AcceptError::Upgrade(error.into()))?;
    Ok((socket, uri))
}

/// The first message, if it is what it must be.
async fn opening_message(socket: &mut Socket) -> Option<OpenDataChannel> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return OpenDataChannel::parse(&text),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Binary(_) | Message::Close(_) | Message::Frame(_) => return None,
        }
    }
}

/// The protocol has no word for a refusal.
async fn close(socket: Socket) {
    Connection::new(socket, Duration::ZERO).say_goodbye(std::iter::empty()).await;
}
