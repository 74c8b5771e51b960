//! `/_control`: fault injection and inspection for tests.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{cluster::Cluster, faults::Faults, sandbox_access, view};

/// Default notice of a Spot interruption in milliseconds; two minutes on AWS.
const NOTICE_MS: u64 = 1000;

type Answer = Result<Json<Value>, (StatusCode, String)>;

pub(crate) fn routes() -> Router<Arc<Cluster>> {
    Router::new()
        .route("/_control/faults", post(set_faults).get(faults).delete(no_faults))
        .route("/_control/instances", post(set_instances))
        .route("/_control/interrupt", post(interrupt))
        .route("/_control/kill", post(kill))
        .route("/_control/tasks", get(tasks))
        .route("/_control/calls", get(calls))
}

async fn faults(State(cluster): State<Arc<Cluster>>) -> Answer {
    Ok(Json(json!(cluster.state().faults)))
}

async fn no_faults(State(cluster): State<Arc<Cluster>>) -> Answer {
    cluster.state().faults = Faults::default();
    faults(State(cluster)).await
}

/// Sets the faults in the body; the others stay as they are.
async fn set_faults(State(cluster): State<Arc<Cluster>>, Json(requested): Json<Value>) -> Answer {
    {
        let mut state = cluster.state();
        let mut faults = json!(state.faults);
        let (Some(known), Value::Object(requested)) = (faults.as_object_mut(), requested) else {
            return Err(bad("the body must be an object of faults"));
        };
        known.extend(requested);
        state.faults = serde_json::from_value(faults).map_err(|error| bad(&error.to_string()))?;
    }
    faults(State(cluster)).await
}

/// Sets the number of instances of the named capacity providers.
async fn set_instances(
    State(cluster): State<Arc<Cluster>>,
    Json(instances): Json<BTreeMap<String, usize>>,
) -> Answer {
    cluster.set_instances(instances);
    Ok(Json(json!({})))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TaskInput {
    /// The id or the ARN of a task.
    task: String,
    notice_ms: Option<u64>,
}

impl TaskInput {
    fn id(&self) -> String {
        self.task.rsplit('/').next().unwrap_or_default().to_owned()
    }
}

/// Interrupts a Spot task: a notice, then the stop.
async fn interrupt(State(cluster): State<Arc<Cluster>>, Json(named): Json<TaskInput>) -> Answer {
    let reason = "Your Spot Task was interrupted.";
    let id = named.id();
    cluster.end(&id, "SpotInterruption", reason).ok_or_else(unknown)?;
    let notice = Duration::from_millis(named.notice_ms.unwrap_or(NOTICE_MS));
    tokio::spawn(async move {
        tokio::time::sleep(notice).await;
        cluster.stop_sandbox(&id, reason).await;
    });
    Ok(Json(json!({})))
}

/// Kills PID 1 of a task.
async fn kill(State(cluster): State<Arc<Cluster>>, Json(named): Json<TaskInput>) -> Answer {
    let sandbox = cluster.state().tasks.get(&named.id()).map(|task| task.sandbox.clone());
    let sandbox = sandbox.ok_or_else(unknown)?;
    let socket = cluster.driver().socket(&sandbox);
    sandbox_access::kill(&socket)
        .await
        .map_err(|error| (StatusCode::CONFLICT, error.to_string()))?;
    Ok(Json(json!({})))
}

/// All tasks as DescribeTasks shows them, with the requested network.
async fn tasks(State(cluster): State<Arc<Cluster>>) -> Answer {
    let state = cluster.state();
    let tasks = state.tasks.values().map(|task| {
        let mut shown = view::with_tags(task);
        shown["networkConfiguration"] = task.requested.network.clone();
        shown
    });
    Ok(Json(json!({ "tasks": tasks.collect::<Vec<_>>() })))
}

/// The number of calls by operation, refused ones included, and of events.
async fn calls(State(cluster): State<Arc<Cluster>>) -> Answer {
    let calls = cluster.state().calls.clone();
    Ok(Json(json!({ "calls": calls, "events": cluster.events().counts() })))
}

fn unknown() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "the task is unknown".to_owned())
}

fn bad(why: &str) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, why.to_owned())
}
