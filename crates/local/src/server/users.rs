//! Limits what one user requests at once, so that users don't hold up each other.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use domain::UserId;
use handlers::http::{Caller, TooManyRequests};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{body::HeldBody, upgrade::UpgradableConnection};
use crate::config::RequestLimits;

/// How many users may be known before those without requests are forgotten.
const MAX_IDLE_USERS: usize = 1024;

/// What all users request at present. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct UserRequests {
    limits: RequestLimits,
    users: Arc<Mutex<HashMap<UserId, Arc<Places>>>>,
}

/// The places of one user.
#[derive(Debug)]
struct Places {
    /// For requests that are handled at once. The others wait in order.
    turns: Semaphore,
    /// For those among them that only read.
    reads: Semaphore,
    /// The requests that are handled or wait for that.
    requests: AtomicUsize,
    /// For long polls and streams.
    waits: Arc<Semaphore>,
}

impl UserRequests {
    pub(super) fn new(limits: RequestLimits) -> Self {
        Self { limits, users: Arc::default() }
    }

    /// A place among the long polls and streams of a user; `None` if that user has too many.
    pub(super) fn wait_place(&self, user: &UserId) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.of(user).waits).try_acquire_owned().ok()
    }

    fn of(&self, user: &UserId) -> Arc<Places> {
        let mut users = self.users.lock();
        if users.len() >= MAX_IDLE_USERS {
            users.retain(|_, places| Arc::strong_count(places) > 1 || !places.is_idle(self.limits));
        }
        let places = users.entry(user.clone()).or_insert_with(|| {
            Arc::new(Places {
                turns: Semaphore::new(self.limits.at_once),
                reads: Semaphore::new(self.limits.reads),
                requests: AtomicUsize::new(0),
                waits: Arc::new(Semaphore::new(self.limits.waiting)),
            })
        });
        Arc::clone(places)
    }
}

impl Places {
    fn is_idle(&self, limits: RequestLimits) -> bool {
        self.waits.available_permits() == limits.waiting
    }
}

/// A request among those that are handled or wait for that.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Handles the requests of a user in turn, and refuses those beyond the limits. Must run after the caller
/// was authenticated.
pub(super) async fn limit(
    State(users): State<UserRequests>,
    request: Request,
    next: Next,
) -> Response {
    let Some(Caller(user)) = request.extensions().get() else {
        return next.run(request).await;
    };
    // Absent in tests, which have no connections.
    if let Some(connection) = request.extensions().get::<UpgradableConnection>() {
        connection.authenticated();
    }
    let places = users.of(user);
    if waits(&request) {
        let Some(place) = users.wait_place(user) else {
            return refuse(request, next).await;
        };
        let response = next.run(request).await;
        return response.map(|body| Body::new(HeldBody { body, _held: place }));
    }
    if places.requests.fetch_add(1, Ordering::Relaxed) >= users.limits.queued {
        places.requests.fetch_sub(1, Ordering::Relaxed);
        return refuse(request, next).await;
    }
    let _counted = Counted(&places.requests);
    // Both are never closed; without a turn the request is handled all the same. A request that waits to
    // read holds no turn.
    let _read = match *request.method() {
        Method::GET => places.reads.acquire().await.ok(),
        _ => None,
    };
    let _turn = places.turns.acquire().await;
    next.run(request).await
}

/// The response names the problem as all others do.
async fn refuse(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(TooManyRequests);
    next.run(request).await
}

/// Whether the request may take long: a long poll, a stream, a transfer of files, or one of MCP, which makes
/// requests of its own that are limited as all others.
fn waits(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let is_long_poll = query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        name == "waitSeconds" && !value.is_empty() && value != "0"
    });
    // An encoded name is one too; where it is not, a little strictness does no harm.
    is_long_poll
        || query.contains('%')
        || request.uri().path().ends_with("/stream")
        || request.uri().path() == super::mcp::PATH
        || is_transfer(request.uri().path())
}

/// Whether requests with this path transfer files.
pub(super) fn is_transfer(path: &str) -> bool {
    path.starts_with("/v1/sessions/") && path.contains("/files")
}

#[cfg(test)]
mod tests;
