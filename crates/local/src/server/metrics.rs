//! `/metrics`, in Prometheus' text format.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use handlers::http::Caller;

use crate::engine::Engine;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Open to all on loopback; beyond that to users only.
pub(super) async fn handle(
    State((engine, on_loopback)): State<(Arc<Engine>, bool)>,
    caller: Option<Extension<Caller>>,
) -> Response {
    if !on_loopback && caller.is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    ([(CONTENT_TYPE, TEXT)], engine.metrics_text()).into_response()
}
