//! Handles the connections of runners: the authorizer, and the routes of the WebSocket API
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-overview.html>).

use std::collections::BTreeMap;

use adapters::shell::{report, stored};
use domain::TaskId;
use handlers::Env;
use lambda_runtime::Diagnostic;
use link::frame::{ATTEMPT_HEADER, FromRunner, TASK_HEADER, ToRunner};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::link::{Admission, Claims, Connection, Connections, TokenKey};

/// What this function needs besides the ports of the handlers.
#[derive(Debug, Clone)]
pub struct Link {
    pub connections: Connections,
    pub key: TokenKey,
}

/// The event of the authorizer, of a connection, or of a frame.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Only the authorizer's event has it.
    method_arn: Option<String>,
    body: Option<String>,
    request_context: Context,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    #[serde(default)]
    event_type: String,
    connection_id: String,
    authorizer: Option<Authorizer>,
}

/// What the authorizer said of the connection, as text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorizer {
    task: String,
    started_by: String,
    launch: String,
    generation: String,
    attempt: String,
}

pub(super) async fn handle(link: &Link, env: &Env, event: Event) -> Result<Value, Diagnostic> {
    if let Some(arn) = &event.method_arn {
        return authorize(link, &event.headers, arn).await;
    }
    let Some(connection) = connection(&event.request_context) else {
        return Ok(status(403));
    };
    match event.request_context.event_type.as_str() {
        "CONNECT" => {
            let admitted = link.connections.admit(env.compute.as_ref(), &connection).await;
            let admitted = admitted.map_err(|error| failed(&error))?;
            Ok(status(if is_admitted(admitted, &connection) { 200 } else { 403 }))
        }
        "DISCONNECT" => {
            let removed = link.connections.remove(&connection.task, &connection.id).await;
            removed.map_err(|error| failed(&error))?;
            Ok(status(200))
        }
        _ => {
            let frame = event.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
            let Some(frame) = frame else { return Ok(status(400)) };
            let Some(answer) = answer(link, env, &connection, frame).await? else {
                return Ok(status(200));
            };
            let text = serde_json::to_string(&answer)
                .map_err(|_| diagnostic("a frame cannot be encoded"))?;
            Ok(json!({"statusCode": 200, "body": text}))
        }
    }
}

fn is_admitted(admission: Admission, Connection { task, attempt, .. }: &Connection) -> bool {
    match admission {
        Admission::Admitted => true,
        Admission::Refused => {
            tracing::warn!(task.id = %task, attempt, "refused the connection of a runner");
            false
        }
    }
}

/// Handles a frame. On an error it gets no answer, and the runner says it again.
async fn answer(
    link: &Link,
    env: &Env,
    connection: &Connection,
    frame: FromRunner,
) -> Result<Option<ToRunner>, Diagnostic> {
    let Connection { task, claims, .. } = connection;
    match frame {
        FromRunner::Hello { jobs } => {
            // Recorded first: what is sent from now on takes this connection, and what was sent before is found
            // by what follows.
            let recorded = link.connections.record(connection).await;
            if !is_admitted(recorded.map_err(|error| failed(&error))?, connection) {
                return Ok(None);
            }
            let known: Vec<_> = jobs.iter().filter_map(|job| job.parse().ok()).collect();
            let connected = handlers::runner_connected(env, task, &known).await;
            connected.map_err(|error| super::diagnostic(&error))?;
            let sent = link.connections.send_requests(connection).await;
            sent.map_err(|error| failed(&error))?;
            let key = link.key.bytes().await.map_err(|error| failed(&error))?;
            Ok(Some(ToRunner::Token { token: claims.next().sign(&key) }))
        }
        FromRunner::Done { id } => {
            let confirmed = link.connections.confirm(task, &id).await;
            confirmed.map_err(|error| failed(&error))?;
            Ok(None)
        }
        FromRunner::Report(said) => {
            let job = said.job.clone();
            // A job that has no id of this service is none of it.
            let Some(report) = report(said) else { return Ok(Some(stored(job, (0, 0), true))) };
            let recorded = handlers::record_report(env, task, report).await;
            let recorded = recorded.map_err(|error| super::diagnostic(&error))?;
            Ok(Some(stored(job, (recorded.stdout, recorded.stderr), recorded.over)))
        }
    }
}

/// The policy of a connection: who the token was made for goes with each of its events.
async fn authorize(
    link: &Link,
    headers: &BTreeMap<String, String>,
    arn: &str,
) -> Result<Value, Diagnostic> {
    let header = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let token = header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let key = link.key.bytes().await.map_err(|error| failed(&error))?;
    let claims = Claims::verify(token, &key);
    let task = header(TASK_HEADER);
    let context = match &claims {
        Ok(claims) if !task.is_empty() => json!({
            "task": task,
            "startedBy": claims.started_by,
            "launch": claims.launch,
            "generation": claims.generation.to_string(),
            "attempt": header(ATTEMPT_HEADER),
        }),
        _ => return Ok(policy("Deny", arn, &json!({}))),
    };
    Ok(policy("Allow", arn, &context))
}

fn policy(effect: &str, arn: &str, context: &Value) -> Value {
    let statement = json!({"Action": "execute-api:Invoke", "Effect": effect, "Resource": arn});
    json!({
        "principalId": "runner",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    })
}

/// The connection that an event is about, as the authorizer has recognized it.
fn connection(context: &Context) -> Option<Connection> {
    let Authorizer { task, started_by, launch, generation, attempt } =
        context.authorizer.as_ref()?;
    let claims = Claims {
        started_by: started_by.clone(),
        launch: launch.clone(),
        generation: generation.parse().ok()?,
    };
    let id = context.connection_id.clone();
    Some(Connection { task: TaskId::new(task), id, claims, attempt: attempt.parse().ok()? })
}

fn status(code: u16) -> Value {
    json!({"statusCode": code})
}

/// Logs a failure, and is the error of the invocation.
fn failed(error: &domain::ports::BackendError) -> Diagnostic {
    let error: &dyn std::error::Error = error;
    tracing::error!(error, "a connection of a runner failed");
    diagnostic(&error.to_string())
}

fn diagnostic(message: &str) -> Diagnostic {
    Diagnostic { error_type: "internal".to_owned(), error_message: message.to_owned() }
}
