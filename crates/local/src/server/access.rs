//! Authenticates requests by their token.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use handlers::http::{Caller, Unidentifiable};

use crate::tokens::Tokens;

/// Adds the [`Caller`] to a request with a valid token. A route that requires a caller answers 401
/// without one.
pub(super) async fn authenticate(
    State(tokens): State<Tokens>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(token) = bearer(request.headers()) {
        match tokens.user_of(token) {
            Ok(Some(user)) => {
                request.extensions_mut().insert(Caller(user));
            }
            Ok(None) => {}
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(
                    error,
                    "failed to look a token up; the request is answered with 503"
                );
                request.extensions_mut().insert(Unidentifiable);
            }
        }
    }
    next.run(request).await
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750; the scheme is case-insensitive).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
