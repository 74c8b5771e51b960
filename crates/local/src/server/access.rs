//! Who calls.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use handlers::http::{Caller, Unidentifiable};

use crate::tokens::Tokens;

/// Says who calls if the request shows a token that we gave; a route that must know answers 401.
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
                tracing::error!(error, "tokens can't be looked up");
                request.extensions_mut().insert(Unidentifiable);
            }
        }
    }
    next.run(request).await
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750; the scheme's case does not matter).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
