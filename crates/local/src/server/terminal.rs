//! `GET /v1/data-channel/{id}`: a WebSocket that carries the data channel of a terminal, as AWS's service
//! does. The token in its first message is the only credential.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use adapters::shell::open_terminal;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use domain::{UserId, ports::Stream};
use handlers::{Env, HandlerError};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use ssm::{
    message::Token,
    server::{self, Input, Options, Output, Session},
};
use tokio::{sync::watch, time::sleep};

use self::relay::Left;
use super::{
    upgrade::{UpgradableConnection, UpgradedStream},
    users::UserRequests,
};
use crate::{
    data_channels::{DataChannels, Terminal},
    shell::UnixDial,
    tokens::Tokens,
};

mod relay;

/// What a client is told when the server stops.
const STOPPING: &str = "the server stops; the terminal can be opened again once it runs";
/// What a client is told whose user has no token any more.
const REVOKED: &str = "the access of this user was revoked";
/// How often this is checked. A terminal does not depend on the token of the request that opened it.
const REVOCATION_CHECK: Duration = Duration::from_secs(5);
/// The size of a piece of output. Bytes; clients accept more than the 1 KiB that AWS's agent sends.
const CHUNK: usize = 16 << 10;
/// How long an acknowledgement waits for what the terminal shows of a key. Clients send a key again only later.
const ACKNOWLEDGEMENT_DELAY: Duration = Duration::from_millis(5);
/// How long a client may leave output unacknowledged before it is disconnected: its terminal waits for it.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a channel outlives its connection, so that its client can resume it. Until then its terminal waits
/// for it as for a slow client.
const RESUME_TIMEOUT: Duration = Duration::from_secs(30);

/// What serves the data channels.
#[derive(Debug, Clone)]
pub(super) struct Terminals {
    pub(super) env: Env,
    pub(super) dial: UnixDial,
    pub(super) channels: DataChannels,
    pub(super) users: UserRequests,
    pub(super) tokens: Tokens,
    /// The origins of pages, besides those of this server, that may open terminals.
    pub(super) origins: Arc<[String]>,
    /// The open channels, and perhaps some that have ended.
    pub(super) open: Arc<Mutex<Vec<OpenChannel>>>,
    pub(super) stopped: watch::Receiver<bool>,
}

/// An open channel, and the client that may resume it.
#[derive(Debug)]
pub(super) struct OpenChannel {
    session: Session,
    token: Token,
    client_id: Option<String>,
}

/// A channel that was opened now.
struct Opened {
    channel: String,
    terminal: Terminal,
    session: Session,
    input: Input,
    output: Output,
}

impl Terminals {
    /// Ends all channels. Their terminals stay, and can be opened again when a server runs again.
    pub(super) fn close(&self) {
        self.open.lock().drain(..).for_each(|channel| channel.session.end(STOPPING));
    }

    /// The channel for the client that has sent this opening message: a new one, or the one whose connection
    /// this client has lost.
    fn channel(&self, opening: &server::Opening) -> Option<Session> {
        self.resume(opening).or_else(|| self.open(opening))
    }

    /// The open channel of the same client: it knows the token and its own random id, which is on no record.
    fn resume(&self, opening: &server::Opening) -> Option<Session> {
        let open = self.open.lock();
        let channel = open.iter().find(|channel| channel.session.id() == opening.session_id)?;
        let is_client = opening.client_id.is_some() && opening.client_id == channel.client_id;
        let is_same = is_client && opening.token.is(channel.token.expose());
        is_same.then(|| channel.session.clone())
    }

    fn open(&self, opening: &server::Opening) -> Option<Session> {
        let is_token = |token: &str| opening.token.is(token);
        let terminal = self.channels.take(&opening.session_id, is_token)?;
        let options = Options {
            chunk: CHUNK,
            announce: true,
            acknowledgement_delay: ACKNOWLEDGEMENT_DELAY,
            // The runner ends a terminal that nobody uses, if that is wanted.
            idle: Duration::MAX,
            linger: RESUME_TIMEOUT,
            ends_with_client: true,
            acknowledgement: ACKNOWLEDGEMENT_TIMEOUT,
            ..Options::default()
        };
        let (session, input, output) = server::session(&opening.session_id, options);
        let mut open = self.open.lock();
        open.retain(|channel| !channel.session.is_over());
        let (token, client_id) = (opening.token.clone(), opening.client_id.clone());
        open.push(OpenChannel { session: session.clone(), token, client_id });
        drop(open);
        let terminals = self.clone();
        let channel = opening.session_id.clone();
        let opened = Opened { channel, terminal, session: session.clone(), input, output };
        tokio::spawn(async move { terminals.serve(opened).await });
        Some(session)
    }

    async fn serve(&self, opened: Opened) {
        let job = opened.terminal.job;
        let error = match self.attach(opened).await {
            Ok(Left::Client) => handlers::terminal_detached(&self.env, job).await.err(),
            Ok(Left::Command) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(job.id = %job, error, "failed to record a use of a terminal");
        }
    }

    /// Passes bytes on between the client and the terminal until one of them has gone.
    async fn attach(&self, opened: Opened) -> Result<Left, HandlerError> {
        let Opened { channel, terminal: Terminal { task, job }, session, input, output } = opened;
        let Some(user) = handlers::terminal_attached(&self.env, job, &channel).await? else {
            let shown = self.env.store.output(job, Stream::Stdout, 0, u64::MAX).await?;
            relay::replay(shown.expose(), input, output).await;
            return Ok(Left::Command);
        };
        if self.is_revoked(&user) {
            output.finish(REVOKED);
            return Ok(Left::Client);
        }
        let Some(_place) = self.users.wait_place(&user) else {
            output.finish("too many terminals, long polls and streams of this user are open");
            return Ok(Left::Client);
        };
        match open_terminal(&self.dial, &task, job).await {
            Ok((keys, screen)) => {
                let relayed = relay::run(&self.env, job, input, output, keys, screen);
                tokio::pin!(relayed);
                tokio::select! {
                    left = &mut relayed => return Ok(left),
                    () = self.revoked(&user) => session.end(REVOKED),
                }
                Ok(relayed.await)
            }
            Err(error) => {
                output.finish(&error.to_string());
                Ok(Left::Client)
            }
        }
    }

    /// Resolves once the user has no token any more.
    async fn revoked(&self, user: &UserId) {
        while !self.is_revoked(user) {
            sleep(REVOCATION_CHECK).await;
        }
    }

    /// Whether the user has no token. A failed lookup says nothing about that.
    fn is_revoked(&self, user: &UserId) -> bool {
        matches!(self.tokens.has_token(user), Ok(false))
    }
}

/// Upgrades a request for a WebSocket.
pub(super) async fn handle(State(terminals): State<Terminals>, mut request: Request) -> Response {
    let uri = request.uri().clone();
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let connection = request.extensions_mut().remove::<UpgradableConnection>();
    let headers = request.headers();
    if !is_permitted_origin(headers, &terminals.origins) {
        let detail = "a page of this origin may not open a terminal; `ephemeral up --terminal-origin` permits it\n";
        return (StatusCode::FORBIDDEN, detail).into_response();
    }
    let (Some(upgrade), Some(connection), Some(accept)) =
        (upgrade, connection, accept_key(headers))
    else {
        let detail = "connect by WebSocket; streamUrl of a job of type terminal says where\n";
        return (StatusCode::UPGRADE_REQUIRED, [(header::UPGRADE, "websocket")], detail)
            .into_response();
    };
    tokio::spawn(open(terminals, upgrade, connection, uri));
    let headers = [
        (header::CONNECTION, "upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

async fn open(
    terminals: Terminals,
    upgrade: OnUpgrade,
    connection: UpgradableConnection,
    uri: Uri,
) {
    let opened = async {
        let stream = TokioIo::new(upgrade.await.map_err(|error| error.to_string())?);
        let uri = uri.to_string();
        let in_use = Arc::new(OnceLock::new());
        let stream = UpgradedStream::new(stream, Arc::clone(&in_use));
        let find = |opening: &server::Opening| {
            let session = terminals.channel(opening)?;
            in_use.get_or_init(|| connection.serve());
            Some(session)
        };
        let accepted = server::accept_upgraded(stream, &uri, find);
        accepted.await.map_err(|error| error.to_string())
    };
    let mut stopped = terminals.stopped.clone();
    let opened = tokio::select! {
        opened = connection.opening(opened) => opened,
        // An error means that the server was dropped.
        _ = stopped.wait_for(|stop| *stop) => None,
    };
    if let Err(error) =
        opened.unwrap_or_else(|| Err("it took too long, or the server stops".to_owned()))
    {
        tracing::debug!(error, "a client did not open a terminal");
    }
}

/// Whether the request comes from a page of this server, of one of these origins, or from no page. A browser
/// always names the origin of the page.
fn is_permitted_origin(headers: &HeaderMap, others: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_own = origin
        .split_once("://")
        .is_some_and(|(_, own)| host.is_some_and(|host| host.eq_ignore_ascii_case(own)));
    is_own || others.iter().any(|other| other == origin)
}

/// The value of `Sec-WebSocket-Accept`, if these are the headers of RFC 6455, 4.2.1.
fn accept_key(headers: &HeaderMap) -> Option<String> {
    let has = |name: HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    let valid = has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| valid)?;
    Some(server::derive_accept_key(key.as_bytes()))
}
