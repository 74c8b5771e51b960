//! The MCP servers of the clients of many users, over streamable HTTP.

use std::{collections::HashMap, convert::Infallible, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use parking_lot::Mutex;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService,
    session::local::{LocalSessionManager, SessionConfig},
};
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::{api::Api, server::Server};

/// When a session without requests ends, and its shell with it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// The most sessions of one user.
const MAX_SESSIONS: usize = 32;
/// How many users may be known before those without sessions are forgotten.
const MAX_IDLE_USERS: usize = 1024;

/// The MCP servers of all users. Each user has sessions apart, so that the id of a session is of no use to
/// another user. Clones share them.
#[derive(Clone, Default)]
pub struct HttpServer {
    users: Arc<Mutex<HashMap<String, User>>>,
    closed: CancellationToken,
}

/// The sessions of one user.
#[derive(Clone)]
struct User {
    service: StreamableHttpService<Server, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
}

/// Too many sessions of this user are open.
#[derive(Debug, thiserror::Error)]
#[error("{MAX_SESSIONS} MCP sessions are open; end one (DELETE) or let it expire after 30 minutes")]
pub struct TooManySessionsError;

impl HttpServer {
    /// Answers a request of this user, whose `Host` and `Origin` were checked. The tools use the API that
    /// `api` makes when the user is first seen.
    ///
    /// # Errors
    /// If the request opens a session and the user has too many.
    pub async fn handle<B>(
        &self,
        user: &str,
        api: impl FnOnce() -> Arc<dyn Api>,
        request: Request<B>,
    ) -> Result<Response<BoxBody<Bytes, Infallible>>, TooManySessionsError>
    where
        B: http_body::Body + Send + 'static,
        B::Error: fmt::Display,
    {
        let user = self.user(user, api);
        if opens_session(&request) && user.sessions.sessions.read().await.len() >= MAX_SESSIONS {
            return Err(TooManySessionsError);
        }
        Ok(user.service.handle(request).await)
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
        Self { service, sessions }
    }

    /// Whether the user has no session. A lock that is held means that one is opened or closed.
    fn is_idle(&self) -> bool {
        self.sessions.sessions.try_read().is_ok_and(|sessions| sessions.is_empty())
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").finish_non_exhaustive()
    }
}

/// Whether the request opens a session: only that has neither the id of one nor a version of the protocol.
fn opens_session<B>(request: &Request<B>) -> bool {
    let has = |name: &str| request.headers().contains_key(name);
    request.method() == Method::POST && !has("mcp-session-id") && !has("mcp-protocol-version")
}
