//! An HTTP client that goes wrong when a test says so.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient as _, HttpConnector, HttpConnectorFuture, SharedHttpClient,
            SharedHttpConnector, http_client_fn,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use crate::server::plain_http;

/// What happens to a call.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// It does not get there; this is the answer.
    Answer(u16, Value),
    /// It is done, but the answer is lost.
    Lost,
    /// It does not get there; the answer says that nothing was processed.
    Unprocessed,
    /// It gets there, and what comes back is no answer.
    Garbled,
}

/// Says which calls go wrong, and remembers all of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Wire(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    troubles: VecDeque<(&'static str, Trouble)>,
    calls: Vec<String>,
}

impl Wire {
    /// The next call of this operation that is in no other trouble gets into this one.
    pub(super) fn trouble(&self, operation: &'static str, times: usize, trouble: &Trouble) {
        let troubles = std::iter::repeat_n((operation, trouble.clone()), times);
        self.0.lock().unwrap().troubles.extend(troubles);
    }

    /// How often this operation was called.
    pub(super) fn calls(&self, operation: &str) -> usize {
        self.0.lock().unwrap().calls.iter().filter(|call| *call == operation).count()
    }

    pub(super) fn http(&self) -> SharedHttpClient {
        let (wire, plain) = (self.clone(), plain_http());
        http_client_fn(move |settings, components| {
            let inner = plain.http_connector(settings, components);
            SharedHttpConnector::new(Wired { wire: wire.clone(), inner })
        })
    }

    fn take(&self, operation: &str) -> Option<Trouble> {
        let mut state = self.0.lock().unwrap();
        state.calls.push(operation.to_owned());
        let at = state.troubles.iter().position(|(of, _)| *of == operation)?;
        state.troubles.remove(at).map(|(_, trouble)| trouble)
    }
}

#[derive(Debug)]
struct Wired {
    wire: Wire,
    inner: SharedHttpConnector,
}

impl HttpConnector for Wired {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let Some(trouble) = self.wire.take(&operation) else { return self.inner.call(request) };
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            match trouble {
                Trouble::Answer(status, body) => Ok(response(status, body.to_string())),
                Trouble::Lost => {
                    inner.call(request).await?;
                    Err(ConnectorError::io("the connection was reset".into()))
                }
                Trouble::Unprocessed => {
                    let asked: Value =
                        serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
                    let nothing =
                        json!({"Responses": {}, "UnprocessedKeys": asked["RequestItems"]});
                    Ok(response(200, nothing.to_string()))
                }
                Trouble::Garbled => {
                    let answer = inner.call(request).await?;
                    let status = answer.status();
                    let body = answer.body().bytes().map(<[u8]>::to_vec).unwrap_or_default();
                    let cut = String::from_utf8_lossy(&body).into_owned() + "}";
                    Ok(response(status.as_u16(), cut))
                }
            }
        })
    }
}

fn response(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))
}

/// The answer to a transaction that was cancelled for these reasons.
pub(super) fn cancelled(reasons: &[&str]) -> Trouble {
    let reasons: Vec<Value> = reasons.iter().map(|code| json!({"Code": code})).collect();
    refused("TransactionCanceledException", json!({"CancellationReasons": reasons}))
}

/// An error of this name.
pub(super) fn refused(name: &str, mut body: Value) -> Trouble {
    body["__type"] = json!(format!("com.amazonaws.dynamodb.v20120810#{name}"));
    Trouble::Answer(400, body)
}
