//! `/mcp`: the tools of MCP over streamable HTTP, for programs with a token.

use std::sync::Arc;

use ::mcp::{Api, HttpServer, UnreachableError};
use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
    routing::any,
};
use domain::UserId;
use handlers::http::{Caller, TooManyRequests, Unidentifiable};
use tower::ServiceExt;

use super::console::{is_of_other_origin, refusal};

pub(super) const PATH: &str = "/mcp";

/// The largest response of the API to a tool. Bytes.
const MAX_RESPONSE: usize = 8 * 1024 * 1024;

/// The state of the route.
#[derive(Clone)]
struct Mcp {
    server: HttpServer,
    api: Router,
}

/// The API within this process, in the name of one user. The limits of users hold for its requests.
struct InProcess {
    api: Router,
    user: UserId,
}

#[async_trait]
impl Api for InProcess {
    async fn send(
        &self,
        request: axum::http::Request<Bytes>,
    ) -> Result<axum::http::Response<Bytes>, UnreachableError> {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(Caller(self.user.clone()));
        let response = match self.api.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (head, body) = response.into_parts();
        let body = to_bytes(body, MAX_RESPONSE)
            .await
            .map_err(|_| UnreachableError("the response broke off; ask for less".to_owned()))?;
        Ok(Response::from_parts(head, body))
    }
}

/// Adds the route to `router`. The tools send their requests to `api`.
pub(super) fn mount(router: Router, server: HttpServer, api: Router) -> Router {
    router.route(PATH, any(handle).with_state(Mcp { server, api }))
}

async fn handle(State(Mcp { server, api }): State<Mcp>, mut request: Request) -> Response {
    let extensions = request.extensions();
    if extensions.get::<Unidentifiable>().is_some() {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "a backend is unavailable; try again");
    }
    let Some(Caller(user)) = extensions.get().cloned() else {
        let detail = "send a valid token in the header Authorization";
        let mut response = refusal(StatusCode::UNAUTHORIZED, detail);
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    };
    if extensions.get::<TooManyRequests>().is_some() {
        let detail = "too many requests of this user are open; close streams or wait for results";
        return refusal(StatusCode::TOO_MANY_REQUESTS, detail);
    }
    if is_of_other_origin(request.headers()) {
        return refusal(StatusCode::FORBIDDEN, "pages of other origins can't use MCP here");
    }
    let in_process = || -> Arc<dyn Api> { Arc::new(InProcess { api, user: user.clone() }) };
    // The MCP server keeps the extensions until a call ends. They would hold the connection that long, also
    // after the client has closed it.
    request.extensions_mut().clear();
    match server.handle(user.as_str(), in_process, request).await {
        Ok(response) => response.into_response(),
        Err(error) => refusal(error.status(), &error.to_string()),
    }
}

#[cfg(test)]
mod tests;
