//! StopTask.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, cluster_name, cluster_of, short_name};
use crate::{
    cluster::Cluster,
    view::{self, Form},
};

#[derive(Debug, Deserialize)]
pub(super) struct Input {
    cluster: Option<String>,
    task: String,
    reason: Option<String>,
}

/// Requests the stop and returns at once. Stopping a stopped task succeeds.
pub(super) async fn handle(cluster: &Arc<Cluster>, input: Input) -> Result<Value, Refusal> {
    let id = short_name(&input.task);
    let name = cluster_name(input.cluster.as_deref());
    let known = cluster.state().tasks.get(id).is_some_and(|task| cluster_of(&task.arn) == name);
    if !known {
        return Err(Refusal::no_task());
    }
    let reason = input.reason.as_deref().unwrap_or("Task stopped by user");
    let task = cluster.stop(id, "UserInitiated", reason).await.ok_or_else(Refusal::no_task)?;
    Ok(json!({ "task": view::task(&task, Form::Response) }))
}
