//! RunTask, idempotent by client token.

use std::sync::Arc;

use sandbox::TaskId;
use serde_json::{Value, json};

use super::{Refusal, cluster_name};
use crate::{
    cluster::{Cluster, PreviousResponse, State},
    random::{hex, uuid},
    request::{RunTask, TaskSize},
    task::{Agent, Requested, Status, Task},
    time_format::now,
    view,
};

/// The reason that Fargate gives when it has no capacity, verbatim.
const NO_CAPACITY: &str = "Capacity is unavailable at this time. \
    Please try again later or in a different availability zone";

pub(super) fn handle(cluster: &Arc<Cluster>, mut request: Value) -> Result<Value, Refusal> {
    let input: RunTask = super::parse(request.to_string().as_bytes())?;
    let size = input.check(&cluster.state().instances)?;
    if let Some(fields) = request.as_object_mut() {
        fields.remove("clientToken");
    }
    let name = cluster_name(input.cluster.as_deref()).to_owned();
    let token = input.client_token.clone().map(|token| (name.clone(), token));
    // The lock is held from the lookup of the token to its response, so that concurrent calls with one
    // token get one response.
    let mut state = cluster.state();
    if let Some(earlier) = token.as_ref().and_then(|token| state.responses.get(token)) {
        return repeat(cluster, &name, earlier, &request);
    }
    if state.is_closed() {
        return Err(Refusal::server());
    }
    let provider = input.provider();
    let tasks = if state.faults.capacity.take(provider.unwrap_or("FARGATE")) {
        Vec::new()
    } else {
        let on_instance = provider.is_some_and(|name| state.instances.contains_key(name));
        (0..input.count()).map(|_| make(cluster, &name, &input, (size, on_instance))).collect()
    };
    let output = response(&state, &tasks, input.count());
    if let Some(token) = token {
        let tasks = tasks.iter().map(|task| task.id.clone()).collect();
        let response = output.clone();
        state.responses.insert(token, PreviousResponse { request, response, tasks, at: now() });
    }
    cluster.place(&mut state, tasks);
    Ok(output)
}

/// The first response to the token, failures included, without later changes of the tasks.
fn repeat(
    cluster: &Cluster,
    name: &str,
    earlier: &PreviousResponse,
    request: &Value,
) -> Result<Value, Refusal> {
    if earlier.request == *request {
        return Ok(earlier.response.clone());
    }
    Err(Refusal::conflict(
        earlier.tasks.iter().map(|id| cluster.arn_prefix.task_arn(name, id)).collect(),
    ))
}

fn response(state: &State, tasks: &[Task], wanted: usize) -> Value {
    let reason = state.faults.capacity_reason.as_deref().unwrap_or(NO_CAPACITY);
    let missing = wanted - tasks.len();
    let failures: Vec<Value> = (0..missing).map(|_| json!({ "reason": reason })).collect();
    let tasks: Vec<Value> = tasks.iter().map(view::with_tags).collect();
    json!({ "tasks": tasks, "failures": failures })
}

fn make(
    cluster: &Cluster,
    name: &str,
    input: &RunTask,
    (size, on_instance): (TaskSize, bool),
) -> Task {
    let id = hex();
    let arn_prefix = &cluster.arn_prefix;
    let (family, revision) = input.task_definition();
    let requested = Requested {
        task_definition_arn: arn_prefix.arn(&format!("task-definition/{family}:{revision}")),
        family: family.to_owned(),
        started_by: input.started_by.clone(),
        group: input.group.clone().unwrap_or_else(|| format!("family:{family}")),
        on_instance,
        capacity_provider: input.provider().map(str::to_owned),
        platform_version: input.platform_version(),
        overrides: input.overrides_shown(),
        tags: input.tags_shown(),
        network: input.network_configuration.clone().unwrap_or_default(),
        subnet: input.subnet(),
        cpu: size.cpu,
        memory: size.memory,
    };
    Task {
        sandbox: TaskId::of_token(&id),
        arn: arn_prefix.task_arn(name, &id),
        cluster_arn: arn_prefix.arn(&format!("cluster/{name}")),
        runtime_id: format!("{id}-{}", &uuid().replace('-', "")[..10]),
        attachment_id: uuid(),
        requested,
        agent: if input.enable_execute_command { Agent::Pending } else { Agent::Absent },
        version: 1,
        last: Status::Provisioning,
        stop: None,
        has_instance: false,
        launched: false,
        exit_code: None,
        container_reason: None,
        created_at: now(),
        pull_started_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        stopped_at: None,
        id,
    }
}
