//! Authenticates requests by their token.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use domain::Secret;
use futures::StreamExt;
use handlers::http::{Caller, Unidentifiable};

use crate::tokens::Tokens;

/// Adds the [`Caller`] to a request with a valid token. A route that requires a caller answers 401
/// without one.
pub(super) async fn authenticate(
    State(tokens): State<Tokens>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut valid = None;
    if let Some(token) = bearer(request.headers()) {
        match tokens.user_of(token) {
            Ok(Some(user)) => {
                valid = Some(Secret::new(token.to_owned()));
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
    let response = next.run(request).await;
    match valid {
        Some(token) if is_event_stream(&response) => {
            response.map(|body| until_revoked(body, tokens, token))
        }
        _ => response,
    }
}

fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// A stream of events that ends when its token is revoked: the token is checked at each event and each
/// comment, so at least every 15 s.
fn until_revoked(body: Body, tokens: Tokens, token: Secret<String>) -> Body {
    let events = body.into_data_stream().take_while(move |_| {
        // A failed lookup says nothing about the token.
        let revoked = matches!(tokens.user_of(token.expose()), Ok(None));
        std::future::ready(!revoked)
    });
    Body::from_stream(events)
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750; the scheme is case-insensitive).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
