//! The MCP servers of the clients of many users, over streamable HTTP.

use std::{
    collections::HashMap, convert::Infallible, error::Error, fmt, sync::Arc, time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::BoxBody};
use parking_lot::Mutex;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService,
    session::local::{LocalSessionManager, SessionConfig},
};
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::{api::Api, server::Server};

/// The header that names the session of a request.
const SESSION_ID: &str = "mcp-session-id";
/// When a session without requests ends, and its shell with it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// The most sessions of one user.
const MAX_SESSIONS: usize = 32;
/// The longest request that opens a session, which keeps what the client says of itself. Bytes.
const MAX_OPENING: usize = 16 * 1024;
/// How many users may be known before those without sessions are forgotten.
const MAX_IDLE_USERS: usize = 1024;

/// The MCP servers of all users. Each user has sessions apart, so that the id of a session is of no use to
/// another user. Clones share them.
#[derive(Clone, Default)]
pub struct HttpServer {
    users: Arc<Mutex<HashMap<String, User>>>,
    closed: CancellationToken,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// The sessions of one user.
#[derive(Clone)]
struct User {
    service: StreamableHttpService<Server, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
    /// Held while a session is opened, so that requests at once can't exceed the limit.
    opening: Arc<tokio::sync::Mutex<()>>,
}

/// Why a request does not reach a session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Too many sessions of this user are open.
    #[error(
        "{MAX_SESSIONS} MCP sessions are open; end one (DELETE) or let it expire after 30 minutes"
    )]
    TooManySessions,
    /// The request is too long.
    #[error("a request that opens a session has at most {MAX_OPENING} bytes")]
    TooLong,
    /// The request broke off.
    #[error("the request broke off")]
    Incomplete,
    /// The user has no session with the id that was to be ended.
    #[error("there is no such MCP session")]
    NotFound,
}

impl HttpServer {
    /// Answers a request of this user, whose `Host` and `Origin` were checked. The tools use the API that
    /// `api` makes when the user is first seen.
    ///
    /// # Errors
    /// If the request opens a session and the user has too many, if it can't be read, or if it is to end a
    /// session that does not exist.
    pub async fn handle<B>(
        &self,
        user: &str,
        api: impl FnOnce() -> Arc<dyn Api>,
        request: Request<B>,
    ) -> Result<Answer, SessionError>
    where
        B: http_body::Body + Send + 'static,
        B::Error: Error + Send + Sync + 'static,
        B::Data: Send,
    {
        let user = self.user(user, api);
        if opens_session(&request) {
            return user.open(request).await;
        }
        if request.method() == Method::DELETE {
            return user.end(request).await;
        }
        Ok(user.answer(request).await)
    }

    /// Ends all sessions, and stops their shells as far as the API still answers.
    pub fn close(&self) {
        self.closed.cancel();
    }

    fn user(&self, name: &str, api: impl FnOnce() -> Arc<dyn Api>) -> User {
        let mut users = self.users.lock();
        if users.len() >= MAX_IDLE_USERS {
            users.retain(|_, user| !user.is_idle());
        }
        let new = || User::new(api(), self.closed.child_token());
        users.entry(name.to_owned()).or_insert_with(new).clone()
    }
}

impl User {
    fn new(api: Arc<dyn Api>, closed: CancellationToken) -> Self {
        let mut manager = LocalSessionManager::default();
        let mut limits = SessionConfig::default();
        limits.keep_alive = Some(IDLE_TIMEOUT);
        manager.session_config = limits;
        let sessions = Arc::new(manager);
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .with_cancellation_token(closed);
        let server = move || Ok(Server::new(Arc::clone(&api), Map::new()).with_sessions());
        let service = StreamableHttpService::new(server, Arc::clone(&sessions), config);
        Self { service, sessions, opening: Arc::default() }
    }

    /// Answers a request that ends a session. The SDK accepts the end of any session, known or not, and with
    /// a status, 202, that the SDK for Python reports as a failure.
    async fn end<B>(&self, request: Request<B>) -> Result<Answer, SessionError>
    where
        B: http_body::Body + Send + 'static,
        B::Error: Error + Send + Sync + 'static,
        B::Data: Send,
    {
        if !self.has_session_of(request.headers()).await {
            return Err(SessionError::NotFound);
        }
        let mut answer = self.answer(request).await;
        if answer.status() == StatusCode::ACCEPTED {
            *answer.status_mut() = StatusCode::NO_CONTENT;
        }
        Ok(answer)
    }

    /// Answers a request that opens a session.
    async fn open<B>(&self, request: Request<B>) -> Result<Answer, SessionError>
    where
        B: http_body::Body + Send + 'static,
        B::Error: Error + Send + Sync + 'static,
        B::Data: Send,
    {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_OPENING).collect().await.map_err(|error| {
            let too_long = error.is::<LengthLimitError>();
            if too_long { SessionError::TooLong } else { SessionError::Incomplete }
        })?;
        let _opening = self.opening.lock().await;
        if self.sessions.sessions.read().await.len() >= MAX_SESSIONS {
            return Err(SessionError::TooManySessions);
        }
        let request = Request::from_parts(head, Full::new(body.to_bytes()));
        Ok(self.answer(request).await)
    }

    /// Answers a request. The SDK calls a body that is no message of the protocol an unsupported media type
    /// even if the type is right.
    async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body + Send + 'static,
        B::Error: fmt::Display,
    {
        let is_json = is_json(request.headers());
        let mut response = self.service.handle(request).await;
        if is_json && response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
        response
    }

    /// Whether the session that these headers name exists. Without a name, the SDK says what is missing.
    async fn has_session_of(&self, headers: &HeaderMap) -> bool {
        let Some(id) = headers.get(SESSION_ID) else { return true };
        let sessions = self.sessions.sessions.read().await;
        id.to_str().is_ok_and(|id| sessions.contains_key(id))
    }

    /// Whether the user has no session. A lock that is held means that one is opened or closed.
    fn is_idle(&self) -> bool {
        self.sessions.sessions.try_read().is_ok_and(|sessions| sessions.is_empty())
    }
}

impl SessionError {
    /// The status of the response that says so.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooManySessions => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").finish_non_exhaustive()
    }
}

/// Whether a body is declared as JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// Whether the request may open a session. Whatever else its headers say, one with the id of a session does
/// not.
fn opens_session<B>(request: &Request<B>) -> bool {
    request.method() == Method::POST && !request.headers().contains_key(SESSION_ID)
}

#[cfg(test)]
mod tests;
