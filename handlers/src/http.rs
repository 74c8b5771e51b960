//! The HTTP API under `/v1`: one file per resource.
//!
//! A request reads the store, decides, and writes in one commit. Work that takes time is left to the
//! handlers behind the queue: no request calls a task, a runner or an execution, but for those of
//! [`files`] and [`processes`], which are about what is in a shell only.

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{MethodRouter, get, post},
};
use serde_json::{Value, json};

use crate::Env;

mod accepted;
mod cancel;
mod command;
mod cursor;
mod deliveries;
mod events;
mod execute;
mod extend;
mod extract;
mod fields;
mod files;
mod jobs;
mod json;
mod layer;
mod openapi;
mod output;
mod page;
mod post;
mod problem;
mod processes;
mod quota;
mod recording;
mod reply;
mod rule;
mod sessions;
mod shared_shell;
mod signal;
mod start;
mod stop;
mod stream;
mod terminal;
mod timeline;
mod wait;
mod webhook;

pub use extract::{Caller, TooManyRequests, Unidentifiable};

/// The largest request body. Bytes.
const BODY_LIMIT: usize = 256 * 1024;

/// The API. The server that mounts it inserts a [`Caller`] into the extensions of each request with a
/// valid token, or [`Unidentifiable`] if tokens can't be verified at present. Without either, the
/// routes that need a caller answer 401.
pub fn router(env: Env) -> Router {
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, method)| router.route(path, method));
    router
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(env.clone(), layer::wrap))
        .with_state(env)
}

fn routes() -> Vec<(&'static str, MethodRouter<Env>)> {
    vec![
        ("/healthz", get(health)),
        ("/v1/openapi.json", get(openapi::handle)),
        ("/v1/shell/start", post(start::handle)),
        ("/v1/shell/execute", post(execute::handle)),
        ("/v1/shell/stop", post(stop::handle)),
        ("/v1/jobs/{id}", get(jobs::handle)),
        ("/v1/jobs/{id}/output", get(output::handle)),
        ("/v1/jobs/{id}/recording", get(recording::handle)),
        ("/v1/jobs/{id}/result", get(files::result)),
        ("/v1/jobs/{id}/stream", get(stream::handle)),
        ("/v1/jobs/{id}/cancel", post(cancel::handle)),
        ("/v1/jobs/{id}/signal", post(signal::handle)),
        ("/v1/jobs/{id}/terminal", post(terminal::reopen)),
        ("/v1/sessions", get(sessions::list)),
        ("/v1/sessions/{id}", get(sessions::get)),
        ("/v1/sessions/{id}/jobs", get(sessions::jobs)),
        ("/v1/sessions/{id}/events", get(timeline::handle)),
        ("/v1/sessions/{id}/extend", post(extend::handle)),
        ("/v1/sessions/{id}/terminal", post(terminal::open)),
        ("/v1/events", get(events::handle)),
        ("/v1/sessions/{id}/files", get(files::get).put(files::put).delete(files::remove)),
        ("/v1/sessions/{id}/files/uploads", post(files::upload)),
        ("/v1/sessions/{id}/files/list", get(files::list)),
        ("/v1/sessions/{id}/files/archive", get(files::pack).put(files::unpack)),
        ("/v1/sessions/{id}/processes", get(processes::list)),
        ("/v1/sessions/{id}/processes/{pid}/signal", post(processes::signal)),
        ("/v1/quota", get(quota::handle)),
        ("/v1/webhooks/deliveries", get(deliveries::list)),
        ("/v1/webhooks/deliveries/{id}/redeliver", post(deliveries::redeliver)),
    ]
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

#[cfg(test)]
mod tests;
