//! `GET /v1/openapi.json`: the API in OpenAPI 3.1. Kept by hand; tests hold it to the routes and to
//! the real answers.

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};

const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn handle() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
