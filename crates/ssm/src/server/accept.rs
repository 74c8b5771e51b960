use std::{fmt, time::Duration};

use futures::StreamExt;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::Role,
    },
};

use super::{Session, session::random_seed};
use crate::{
    close_reason::BoxError,
    driver::{Clock, Connection, Io, Socket, socket_config},
    endpoint::Endpoint,
    message::{OpenDataChannel, Token},
};

/// The timeout for the upgrade and the opening message of a client.
const OPEN_TIMEOUT: Duration = Duration::from_secs(45);
/// What a client is told whose token opens no session.
const REFUSED: &str = "the token was used, has expired or is wrong, or the session has ended";

/// The request with which a client opens a channel.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The path of the URL, with the leading slash.
    pub path: String,
    /// The query of the URL, without the question mark; empty if there is none.
    pub query: String,
    /// The session id: the last segment of the path.
    pub session_id: String,
    pub token: Token,
    pub client_id: Option<String>,
    pub client_version: Option<String>,
}

/// The error of [`accept`].
#[derive(Debug, Error)]
pub enum AcceptError {
    #[error("upgrade failed")]
    Upgrade(#[source] BoxError),
    #[error("client did not open the channel")]
    NotOpened,
    #[error("session is unknown or has ended, or the token is invalid")]
    Unknown,
}

/// Upgrades a new connection, reads the opening message and passes the connection to the session that `find` returns. `find` checks
/// the token. If the session already has a connection, that one is closed, and the new one continues its streams.
///
/// # Errors
/// [`AcceptError`] if there is no upgrade or opening message within 45 s, or `find` returns no open session.
pub async fn accept<F>(stream: TcpStream, find: F) -> Result<(), AcceptError>
where
    F: FnOnce(&Opening) -> Option<Session>,
{
    let deadline = Instant::now() + OPEN_TIMEOUT;
    let upgrade = timeout_at(deadline, upgrade(stream)).await;
    let (socket, uri) = upgrade.map_err(|timeout| AcceptError::Upgrade(timeout.into()))??;
    open(socket, &uri, deadline, find).await
}

/// Like [`accept`], for a connection that an HTTP server has upgraded; `uri` is the path, with the query, of
/// that request.
///
/// # Errors
/// [`AcceptError`] if there is no opening message within 45 s, or `find` returns no open session.
pub async fn accept_upgraded<F>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug + 'static,
    uri: &str,
    find: F,
) -> Result<(), AcceptError>
where
    F: FnOnce(&Opening) -> Option<Session>,
{
    let stream: Box<dyn Io> = Box::new(stream);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(socket_config()));
    open(socket.await, uri, Instant::now() + OPEN_TIMEOUT, find).await
}

async fn open<F>(
    mut socket: Socket,
    uri: &str,
    deadline: Instant,
    find: F,
) -> Result<(), AcceptError>
where
    F: FnOnce(&Opening) -> Option<Session>,
{
    let opened = timeout_at(deadline, opening_message(&mut socket)).await.ok().flatten();
    let Some(message) = opened else {
        close(socket).await;
        return Err(AcceptError::NotOpened);
    };
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
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
            refuse(socket, &opening.session_id).await;
            Err(AcceptError::Unknown)
        }
    }
}

/// Upgrades a connection with any path and headers, and returns path and query.
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

/// The first message, if it is a valid opening message.
async fn opening_message(socket: &mut Socket) -> Option<OpenDataChannel> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return OpenDataChannel::parse(&text),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Binary(_) | Message::Close(_) | Message::Frame(_) => return None,
        }
    }
}

/// Closes the connection with a message. Without one, AWS's client would try to resume the session without end.
async fn refuse(socket: Socket, session: &str) {
    let now = Clock::start().now();
    let mut endpoint = Endpoint::server(random_seed(now), false, now);
    endpoint.close(session, REFUSED, now);
    let message = std::iter::from_fn(|| endpoint.poll_transmit());
    Connection::new(socket, Duration::ZERO).close_gracefully(message).await;
}

/// Closes the connection of something that is no client.
async fn close(socket: Socket) {
    Connection::new(socket, Duration::ZERO).close_gracefully(std::iter::empty()).await;
}
