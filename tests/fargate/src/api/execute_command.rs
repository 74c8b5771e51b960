//! ExecuteCommand.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, cluster_name, cluster_of, short_name};
use crate::{
    cluster::Cluster,
    command_line,
    task::{Agent, Status, Task},
    view::CONTAINER,
};

/// The message of ECS, which it also sends for a task that is not running.
const NOT_ENABLED: &str = "The execute command failed because execute command was not enabled when \
    the task was run or the execute command agent isn’t running. Wait and try again or run a new \
    task with execute command enabled and try again.";
const NOT_CONNECTED: &str = "The execute command failed due to an internal error. Try again later.";

#[derive(Deserialize)]
pub(super) struct Input {
    cluster: Option<String>,
    container: Option<String>,
    command: String,
    interactive: bool,
    task: String,
}

pub(super) async fn handle(cluster: &Arc<Cluster>, input: Input) -> Result<Value, Refusal> {
    if !input.interactive {
        return Err(Refusal::invalid("Interactive is the only mode supported currently."));
    }
    let mut argv = command_line::split(&input.command)
        .ok_or_else(|| Refusal::invalid("The command can't be parsed."))?;
    if argv.is_empty() {
        argv.push("sh".to_owned());
    }
    let (task, silence) = target(cluster, &input)?;
    let socket = cluster.driver().socket(&task.sandbox);
    let started = cluster.sessions().start(&socket, &argv, silence).await;
    let credentials = started.map_err(|error| {
        tracing::warn!(%error, "a command can't be started");
        not_connected()
    })?;
    Ok(json!({
        "clusterArn": task.cluster_arn,
        "containerArn": task.container_arn(),
        "containerName": CONTAINER,
        "interactive": true,
        "session": {
            "sessionId": credentials.session_id,
            "streamUrl": credentials.stream_url,
            "tokenValue": credentials.token,
        },
        "taskArn": task.arn,
    }))
}

/// The task, if its agent accepts commands, and the delay before its first output.
fn target(cluster: &Cluster, input: &Input) -> Result<(Task, Duration), Refusal> {
    let mut state = cluster.state();
    let known = state.tasks.get(short_name(&input.task));
    let known =
        known.filter(|task| cluster_of(&task.arn) == cluster_name(input.cluster.as_deref()));
    let task = known.ok_or_else(Refusal::no_task)?.clone();
    if input.container.as_deref().is_some_and(|name| name != CONTAINER) {
        return Err(Refusal::invalid("The container was not found in the task."));
    }
    if task.agent == Agent::Absent || task.last != Status::Running {
        return Err(Refusal::invalid(NOT_ENABLED));
    }
    let disconnected = state.faults.disconnected > 0;
    state.faults.disconnected = state.faults.disconnected.saturating_sub(1);
    if disconnected || task.agent == Agent::Pending {
        return Err(not_connected());
    }
    Ok((task, Duration::from_millis(state.faults.first_output_ms)))
}

fn not_connected() -> Refusal {
    Refusal::client("TargetNotConnectedException", NOT_CONNECTED)
}
