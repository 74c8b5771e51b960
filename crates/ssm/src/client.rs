//! The client end of a data channel: AWS's session-manager-plugin without a terminal.

mod channel;
mod connect;
mod resume;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

pub use channel::Channel;
pub use connect::{WebSocket, upgrade};
use resume::Target;
use thiserror::Error;

use crate::{
    close_reason::BoxError,
    driver::{Clock, Connection, Driver, PIPE_CAPACITY, Policy},
    endpoint::{Endpoint, Role},
    frame::MessageId,
    inbox::inbox,
    message::{CLIENT_VERSION, OpenDataChannel, Token},
};

/// The time without an acknowledgement after which the channel ends, as AWS's client does it.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(300);

/// The options of a client. The defaults are those of AWS's client.
#[derive(Clone)]
pub struct Options {
    /// The maximum payload of one message in bytes: 1024 by convention. AWS's readers accept more; the limit is not documented.
    pub chunk: usize,
    /// The timeout for connecting, TLS and the WebSocket upgrade together.
    pub handshake_timeout: Duration,
    /// The interval between pings. The channel is lost after three pings without any message from the peer.
    pub keepalive: Duration,
    /// For how long a lost connection is opened again, with the same token and client id, to continue both streams where they were cut.
    /// AWS's service does not permit that.
    pub resume: Duration,
    /// For how long the acknowledgement of terminal bytes may wait for bytes in the other direction that are sent with it. AWS's client
    /// and agent acknowledge at once.
    pub acknowledgement_delay: Duration,
    /// The version that the client reports. The service may refuse old ones.
    pub client_version: String,
    /// The TLS configuration for `wss`; by default the host's certificates are trusted.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chunk: 1024,
            handshake_timeout: Duration::from_secs(45),
            keepalive: Duration::from_secs(54),
            resume: Duration::ZERO,
            acknowledgement_delay: Duration::ZERO,
            client_version: CLIENT_VERSION.to_owned(),
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
            .field("resume", &self.resume)
            .field("acknowledgement_delay", &self.acknowledgement_delay)
            .field("client_version", &self.client_version)
            .finish_non_exhaustive()
    }
}

/// The error of [`open`].
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("stream URL or header is invalid")]
    InvalidRequest(#[source] BoxError),
    /// The service answered with this HTTP status instead of an upgrade, for example because a signature or permission is missing.
    #[error("upgrade refused with status {0}")]
    Refused(u16),
    #[error("connecting timed out")]
    TimedOut,
    #[error("connection failed")]
    Backend(#[source] BoxError),
}

/// Opens the data channel of a session with the stream URL and token that `ecs:ExecuteCommand` or `ssm:StartSession` returned.
/// `headers` are added to the upgrade request, for example those of a SigV4 signature. The URL is used unchanged, so that the
/// signature stays valid.
///
/// The protocol does not confirm the token: the service closes a channel with an invalid token at once.
pub async fn open(
    stream_url: &str,
    token: &str,
    headers: &[(String, String)],
) -> Result<Channel, OpenError> {
    open_with(Options::default(), stream_url, token, headers).await
}

/// Opens a data channel like [`open`], with options.
pub async fn open_with(
    options: Options,
    stream_url: &str,
    token: &str,
    headers: &[(String, String)],
) -> Result<Channel, OpenError> {
    let mut opening = OpenDataChannel::new(Token::new(token), random_id()?, random_id()?);
    opening.client_version = Some(options.client_version.clone());
    let request = connect::request(stream_url, headers)?;
    let (timeout, tls) = (options.handshake_timeout, options.tls);
    let target = Target { request, opening, timeout, tls };
    let socket = target.connect().await?;

    let clock = Clock::start();
    let endpoint = Endpoint::client(random()?, clock.now())
        .reporting(options.client_version)
        .acknowledging_within(options.acknowledgement_delay);
    let (pipe, input) = tokio::io::duplex(PIPE_CAPACITY);
    let (commands, received) = tokio::sync::mpsc::unbounded_channel();
    let (put, output) = inbox();
    let policy = Policy {
        session: String::new(),
        role: Role::Client,
        chunk: options.chunk,
        keepalive: options.keepalive,
        idle: Duration::MAX,
        drain: Duration::MAX,
        linger: options.resume,
        ends_with_client: false,
        acknowledgement: ACKNOWLEDGEMENT_TIMEOUT,
    };
    let mut driver = Driver::new(policy, clock, endpoint, input, received, put);
    driver.connect(Connection::new(socket, clock.now()), clock.now());
    if !options.resume.is_zero() {
        let (commands, connected) = (commands.downgrade(), driver.connected_state());
        tokio::spawn(resume::keep_connected(target, commands, connected));
    }
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
