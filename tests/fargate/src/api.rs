//! The ECS API in JSON 1.1: the operation is in a header, everything else in the body.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{cluster::Cluster, random::uuid};

mod describe_tasks;
mod execute_command;
mod list_tasks;
mod run_task;
mod stop_task;

/// The prefix of the operation in the header `X-Amz-Target`.
const TARGET: &str = "AmazonEC2ContainerServiceV20141113.";
/// The content type of all responses.
const JSON: &str = "application/x-amz-json-1.1";

/// An error response.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    resources: Vec<String>,
}

impl Refusal {
    /// An error with status 400.
    pub(crate) fn client(code: &'static str, message: impl Into<String>) -> Self {
        let (status, message) = (StatusCode::BAD_REQUEST, message.into());
        Self { status, code, message, resources: Vec::new() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::client("InvalidParameterException", message)
    }

    /// The error for an unknown task.
    pub(crate) fn no_task() -> Self {
        Self::invalid("The referenced task was not found.")
    }

    fn conflict(tasks: Vec<String>) -> Self {
        let message = "The client token was used before with other parameters.";
        Self { resources: tasks, ..Self::client("ConflictException", message) }
    }

    fn server() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self {
            status,
            ..Self::client("ServerException", "Service Unavailable. Please try again later.")
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({ "__type": self.code, "message": self.message });
        if !self.resources.is_empty() {
            body["resourceIds"] = json!(self.resources);
        }
        respond(self.status, &body)
    }
}

/// Handles `POST /`.
pub(crate) async fn handle(
    State(cluster): State<Arc<Cluster>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let Some(operation) = target.and_then(|target| target.strip_prefix(TARGET)) else {
        return Refusal::client("UnknownOperationException", "").into_response();
    };
    match call(&cluster, operation, &body).await {
        Ok(output) => respond(StatusCode::OK, &output),
        Err(refusal) => refusal.into_response(),
    }
}

async fn call(cluster: &Arc<Cluster>, operation: &str, body: &[u8]) -> Result<Value, Refusal> {
    let fails = {
        let mut state = cluster.state();
        *state.calls.entry(operation.to_owned()).or_default() += 1;
        if state.faults.throttle.take_call(operation) {
            return Err(Refusal::client("ThrottlingException", "Rate exceeded"));
        }
        state.faults.errors.take_call(operation)
    };
    let output = match operation {
        "RunTask" => run_task::handle(cluster, parse(body)?)?,
        "DescribeTasks" => describe_tasks::handle(cluster, parse(body)?)?,
        "ListTasks" => list_tasks::handle(cluster, parse(body)?)?,
        "ExecuteCommand" => execute_command::handle(cluster, parse(body)?).await?,
        "StopTask" => stop_task::handle(cluster, parse(body)?).await?,
        _ => return Err(Refusal::client("UnknownOperationException", "")),
    };
    // The injected error: the call had its effect, and the caller gets an error.
    if fails { Err(Refusal::server()) } else { Ok(output) }
}

/// Parses the input of an operation; unknown fields are ignored, as by AWS.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::client("SerializationException", error.to_string()))
}

fn respond(status: StatusCode, body: &Value) -> Response {
    let headers = [(CONTENT_TYPE.as_str(), JSON.to_owned()), ("x-amzn-requestid", uuid())];
    (status, headers, body.to_string()).into_response()
}

/// The last part of a name or an ARN: of a cluster or of a task.
fn short_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The short name of a cluster; every name is a cluster here.
fn cluster_name(given: Option<&str>) -> &str {
    given.map_or("default", short_name)
}

/// The part of a task's ARN that is its cluster's name.
fn cluster_of(arn: &str) -> &str {
    arn.rsplit('/').nth(1).unwrap_or_default()
}
