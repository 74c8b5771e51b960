//! The route `/metrics`, in the text format of Prometheus.

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

/// Answers with the metrics: on loopback to anyone, beyond it to authenticated users only.
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
            tracing::warn!(error, "failed to read the metrics; the request is answered with 503");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
