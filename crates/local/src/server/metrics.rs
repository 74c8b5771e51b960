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
    match engine.metrics_text() {
        Ok(text) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the metrics can't be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
