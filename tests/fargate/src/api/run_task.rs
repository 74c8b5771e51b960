//! RunTask, with what a client token promises.

use std::sync::Arc;

use sandbox::TaskId;
use serde_json::{Value, json};

use super::{Refusal, cluster_name};
use crate::{
    chance::{hex, uuid},
    cluster::{Answer, Cluster, State},
    moment::now_ms,
    request::{RunTask, TaskSize},
    task::{Agent, Asked, Status, Task},
    view,
};

/// What Fargate says when it has no room, word for word.
const NO_CAPACITY: &str = "Capacity is unavailable at this time. \
    Please try again later or in a different availability zone";

pub(super) fn handle(cluster: &Arc<Cluster>, mut request: Value) -> Result<Value, Refusal> {
    let input: RunTask = super::parse(request.to_string().as_bytes())?;
    let size = input.check()?;
    if let Some(fields) = request.as_object_mut() {
        fields.remove("clientToken");
    }
    let name = cluster_name(input.cluster.as_deref()).to_owned();
    let token = input.client_token.clone().map(|token| (name.clone(), token));
    // One lock from the look to the answer: a token that comes twice at once is one.
    let mut state = cluster.state();
    if let Some(earlier) = token.as_ref().and_then(|token| state.answers.get(token)) {
        return again(cluster, &name, earlier, &request);
    }
    if state.is_closed() {
        return Err(Refusal::server());
    }
    let provider = input.provider();
    let tasks = if state.faults.capacity.take(provider.unwrap_or("FARGATE")) {
        Vec::new()
    } else {
        (0..input.count()).map(|_| make(cluster, &name, &input, size)).collect()
    };
    let told = answer(&state, &tasks, input.count());
    if let Some(token) = token {
        let tasks = tasks.iter().map(|task| task.id.clone()).collect();
        let answer = told.clone();
        state.answers.insert(token, Answer { request, answer, tasks, at: now_ms() });
    }
    cluster.place(&mut state, tasks);
    Ok(told)
}

/// The answer of the first time, failures included; not what has become of the tasks since.
fn again(
    cluster: &Cluster,
    name: &str,
    earlier: &Answer,
    request: &Value,
) -> Result<Value, Refusal> {
    if earlier.request == *request {
        return Ok(earlier.answer.clone());
    }
    Err(Refusal::conflict(
        earlier.tasks.iter().map(|id| cluster.realm.task_arn(name, id)).collect(),
    ))
}

fn answer(state: &State, tasks: &[Task], wanted: usize) -> Value {
    let reason = state.faults.capacity_reason.as_deref().unwrap_or(NO_CAPACITY);
    let missing = wanted - tasks.len();
    let failures: Vec<Value> = (0..missing).map(|_| json!({ "reason": reason })).collect();
    let tasks: Vec<Value> = tasks.iter().map(view::with_tags).collect();
    json!({ "tasks": tasks, "failures": failures })
}

fn make(cluster: &Cluster, name: &str, input: &RunTask, size: TaskSize) -> Task {
    let id = hex();
    let realm = &cluster.realm;
    let (family, revision) = input.task_definition();
    let asked = Asked {
        task_definition_arn: realm.arn(&format!("task-definition/{family}:{revision}")),
        family: family.to_owned(),
        started_by: input.started_by.clone(),
        group: input.group.clone().unwrap_or_else(|| format!("family:{family}")),
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
        arn: realm.task_arn(name, &id),
        cluster_arn: realm.arn(&format!("cluster/{name}")),
        runtime_id: format!("{id}-{}", &uuid().replace('-', "")[..10]),
        attachment_id: uuid(),
        asked,
        agent: if input.enable_execute_command { Agent::Pending } else { Agent::Absent },
        version: 1,
        last: Status::Provisioning,
        stop: None,
        launched: false,
        exit_code: None,
        container_reason: None,
        created_at: now_ms(),
        pull_started_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        stopped_at: None,
        id,
    }
}
