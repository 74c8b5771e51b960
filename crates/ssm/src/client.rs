//! The client's end: what AWS's session-manager-plugin is, without a terminal.

mod channel;
mod connect;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

pub use channel::Channel;
use thiserror::Error;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    closed::BoxError,
    driver::{Clock, Connection, Driver, PIPE, Policy},
    endpoint::{Endpoint, Role},
    frame::MessageId,
    inbox::inbox,
    message::{OpenDataChannel, Token},
};

/// How a client behaves. The defaults are AWS's.
#[derive(Clone)]
pub struct Options {
    /// Payload bytes of one message: 1024 by convention. AWS's readers take more, but nobody says how much more.
    pub chunk: usize,
    /// For connecting, TLS and the upgrade together.
    pub handshake_timeout: Duration,
    /// Between pings. Three of them without any sign of life end the channel.
    pub keepalive: Duration,
    /// For `wss`; by default the host's certificates.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chunk: 1024,
            handshake_timeout: Duration::from_secs(45),
            keepalive: Duration::from_secs(54),
            tls: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("chunk", &self.chunk)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("keepalive", &self.keepalive)
            .finish_non_exhaustive()
    }
}

/// No channel.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("stream URL or header is invalid")]
    InvalidRequest(#[source] BoxError),
    /// The status is that of an answer other than an upgrade: a signature or right that is missing, for one.
    #[error("upgrade refused with status {0}")]
    Refused(u16),
    #[error("connecting took too long")]
    TimedOut,
    #[error("connection failed")]
    Backend(#[source] BoxError),
}

/// Opens the data channel of a session, with the URL and token that came with it. `headers` join the upgrade request: those of a
/// signature, if it is to be signed. The URL is used as given, so that the signature fits.
///
/// The protocol has no answer to the token: one that is wrong shows as a channel that is lost at once.
pub async fn open(
    stream_url: &str,
    token: &str,
    headers: &[(String, String)],
) -> Result<Channel, OpenError> {
    open_with(Options::default(), stream_url, token, headers).await
}

/// The same with options.
pub async fn open_with(
    options: Options,
    stream_url: &str,
    token: &str,
    headers: &[(String, String)],
) -> Result<Channel, OpenError> {
    let request = connect::request(stream_url, headers)?;
    let connected = connect::connect(request, options.tls);
    let connected = tokio::time::timeout(options.handshake_timeout, connected).await;
    let mut socket = connected.map_err(|_| OpenError::TimedOut)??;
    let open = OpenDataChannel::new(Token::new(token), random_id()?, random_id()?);
    let open = serde_json::to_string(&open).expect("texts have a JSON form");
    futures::SinkExt::send(&mut socket, Message::text(open)).await.map_err(backend)?;

    let clock = Clock::start();
    let endpoint = Endpoint::client(random()?, clock.now());
    let (pipe, input) = tokio::io::duplex(PIPE);
    let (commands, received) = tokio::sync::mpsc::unbounded_channel();
    let (put, output) = inbox();
    let policy = Policy {
        session: String::new(),
        role: Role::Client,
        chunk: options.chunk,
        keepalive: options.keepalive,
        idle: Duration::MAX,
        drain: Duration::MAX,
    };
    let mut driver = Driver::new(policy, clock, endpoint, input, received, put);
    driver.connect(Connection::new(socket, clock.now()), clock.now());
    Ok(Channel::new(driver, pipe, commands, output))
}

fn random() -> Result<u128, OpenError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(backend)?;
    Ok(u128::from_ne_bytes(bytes))
}

fn random_id() -> Result<MessageId, OpenError> {
    random().map(MessageId::from_random)
}

fn backend(error: impl Into<BoxError>) -> OpenError {
    OpenError::Backend(error.into())
}
