//! An HTTP client into which tests inject faults.

use std::{collections::VecDeque, sync::Arc};

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
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::server::plain_http;

/// What happens to a call instead of a normal response.
#[derive(Debug, Clone)]
pub(super) enum InjectedFault {
    /// The call is not sent; this is the response.
    Response(u16, Value),
    /// The call takes effect, but its response is lost.
    LostResponse,
    /// The call is not sent; the response reports all keys as unprocessed.
    Unprocessed,
    /// The call takes effect, but its response is invalid JSON.
    InvalidResponse,
}

/// Injects faults into calls, and records all calls.
#[derive(Debug, Clone, Default)]
pub(super) struct FaultInjector(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<(&'static str, InjectedFault)>,
    calls: Vec<String>,
}

impl FaultInjector {
    /// Injects the fault into the next `times` calls of the operation, after the faults injected before.
    pub(super) fn inject(&self, operation: &'static str, times: usize, fault: &InjectedFault) {
        let faults = std::iter::repeat_n((operation, fault.clone()), times);
        self.0.lock().faults.extend(faults);
    }

    /// The number of calls of this operation.
    pub(super) fn calls(&self, operation: &str) -> usize {
        self.0.lock().calls.iter().filter(|call| *call == operation).count()
    }

    pub(super) fn http(&self) -> SharedHttpClient {
        let (injector, plain) = (self.clone(), plain_http());
        http_client_fn(move |settings, components| {
            let inner = plain.http_connector(settings, components);
            SharedHttpConnector::new(FaultyConnector { injector: injector.clone(), inner })
        })
    }

    fn take(&self, operation: &str) -> Option<InjectedFault> {
        let mut state = self.0.lock();
        state.calls.push(operation.to_owned());
        let at = state.faults.iter().position(|(of, _)| *of == operation)?;
        state.faults.remove(at).map(|(_, fault)| fault)
    }
}

#[derive(Debug)]
struct FaultyConnector {
    injector: FaultInjector,
    inner: SharedHttpConnector,
}

impl HttpConnector for FaultyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let Some(fault) = self.injector.take(&operation) else { return self.inner.call(request) };
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            match fault {
                InjectedFault::Response(status, body) => Ok(response(status, body.to_string())),
                InjectedFault::LostResponse => {
                    inner.call(request).await?;
                    Err(ConnectorError::io("the connection was reset".into()))
                }
                InjectedFault::Unprocessed => {
                    let asked: Value =
                        serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
                    let nothing =
                        json!({"Responses": {}, "UnprocessedKeys": asked["RequestItems"]});
                    Ok(response(200, nothing.to_string()))
                }
                InjectedFault::InvalidResponse => {
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

/// The response to a transaction that was cancelled for these reasons.
pub(super) fn cancelled(reasons: &[&str]) -> InjectedFault {
    let reasons: Vec<Value> = reasons.iter().map(|code| json!({"Code": code})).collect();
    refused("TransactionCanceledException", json!({"CancellationReasons": reasons}))
}

/// An error response with this name.
pub(super) fn refused(name: &str, mut body: Value) -> InjectedFault {
    body["__type"] = json!(format!("com.amazonaws.dynamodb.v20120810#{name}"));
    InjectedFault::Response(400, body)
}
