//! `GET /v1/openapi.json`: the API in OpenAPI 3.1.
//!
//! The document is generated from the rules, the views and the routes by `tests/document.rs`; after a
//! change of these, `UPDATE=1 cargo nextest run -p handlers` writes it again.

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};

const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn handle() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
