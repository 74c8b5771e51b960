//! The JSON of tasks in responses and events.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::{
    random::uuid,
    task::{Agent, Status, Task},
    time_format::{rfc3339, rfc3339_seconds, seconds},
};

/// The name of the only container.
pub(crate) const CONTAINER: &str = "shell";

/// Where a task is shown; the formats of times and of the agent's state differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Response,
    Event,
}

impl Form {
    fn time(self, at: OffsetDateTime) -> Value {
        match self {
            Self::Response => seconds(at),
            Self::Event => json!(rfc3339(at)),
        }
    }
}

/// A task without its tags.
pub(crate) fn task(task: &Task, form: Form) -> Value {
    let requested = &task.requested;
    let mut shown = json!({
        "attachments": [attachment(task, form)],
        "attributes": [{ "name": "ecs.cpu-architecture", "value": architecture() }],
        "availabilityZone": "us-east-1a",
        "clusterArn": task.cluster_arn,
        "connectivity": "CONNECTED",
        "connectivityAt": form.time(task.created_at),
        "containers": [container(task, form)],
        "cpu": requested.cpu.to_string(),
        "createdAt": form.time(task.created_at),
        "desiredStatus": task.desired(),
        "enableExecuteCommand": task.agent != Agent::Absent,
        "group": requested.group,
        "lastStatus": task.last.name(),
        "launchType": task.launch_type(),
        "memory": requested.memory.to_string(),
        "overrides": requested.overrides,
        "platformFamily": "Linux",
        "taskArn": task.arn,
        "taskDefinitionArn": requested.task_definition_arn,
        "version": task.version,
    });
    let on_fargate = !requested.on_instance;
    let optional = [
        ("ephemeralStorage", on_fargate.then(|| json!({ "sizeInGiB": 20 }))),
        ("platformVersion", on_fargate.then(|| requested.platform_version.clone().into())),
        ("containerInstanceArn", task.has_instance.then(|| task.instance_arn().into())),
        ("capacityProviderName", requested.capacity_provider.clone().map(Value::from)),
        ("startedBy", requested.started_by.clone().map(Value::from)),
        ("pullStartedAt", task.pull_started_at.map(|at| form.time(at))),
        ("pullStoppedAt", task.started_at.map(|at| form.time(at))),
        ("startedAt", task.started_at.map(|at| form.time(at))),
        ("stoppingAt", task.stopping_at.map(|at| form.time(at))),
        ("executionStoppedAt", task.execution_stopped_at.map(|at| form.time(at))),
        ("stoppedAt", task.stopped_at.map(|at| form.time(at))),
        ("stopCode", task.stop.as_ref().map(|stop| stop.code.into())),
        ("stoppedReason", task.stop.as_ref().map(|stop| stop.reason.clone().into())),
    ];
    add(&mut shown, optional);
    shown
}

/// A task with its tags.
pub(crate) fn with_tags(of: &Task) -> Value {
    let mut shown = task(of, Form::Response);
    add(&mut shown, [("tags", Some(of.requested.tags.clone()))]);
    shown
}

/// The EventBridge event about the current state of a task.
pub(crate) fn event(of: &Task, account: &str, region: &str, now: OffsetDateTime) -> Value {
    let mut detail = task(of, Form::Event);
    add(&mut detail, [("updatedAt", Some(rfc3339(now).into()))]);
    json!({
        "version": "0",
        "id": uuid(),
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": account,
        "time": rfc3339_seconds(now),
        "region": region,
        "resources": [of.arn],
        "detail": detail,
    })
}

fn container(task: &Task, form: Form) -> Value {
    let attached = task.last >= Status::Pending;
    let interfaces =
        json!([{ "attachmentId": task.attachment_id, "privateIpv4Address": "10.0.0.10" }]);
    let mut shown = json!({
        "containerArn": task.container_arn(),
        "taskArn": task.arn,
        "name": CONTAINER,
        "image": "ephemeral-shell",
        "lastStatus": container_status(task),
        "networkInterfaces": if attached { interfaces } else { json!([]) },
        "healthStatus": "UNKNOWN",
        "cpu": "0",
    });
    let optional = [
        ("runtimeId", task.started_at.map(|_| task.runtime_id.clone().into())),
        ("exitCode", task.exit_code.map(Value::from)),
        ("reason", task.container_reason.map(Value::from)),
        ("managedAgents", agents(task.agent, form)),
    ];
    add(&mut shown, optional);
    shown
}

fn container_status(task: &Task) -> &'static str {
    match task.last {
        Status::Provisioning | Status::Pending | Status::Activating => "PENDING",
        Status::Running | Status::Deactivating | Status::Stopping => "RUNNING",
        Status::Deprovisioning | Status::Stopped => "STOPPED",
    }
}

fn agents(agent: Agent, form: Form) -> Option<Value> {
    let (status, since) = match agent {
        Agent::Absent => return None,
        Agent::Pending => ("PENDING", None),
        Agent::Running(since) => ("RUNNING", Some(since)),
        Agent::Stopped => ("STOPPED", None),
    };
    let key = match form {
        Form::Response => "lastStatus",
        Form::Event => "status",
    };
    let mut shown = json!({ "name": "ExecuteCommandAgent", key: status });
    let since = since.filter(|_| form == Form::Response).map(seconds);
    add(&mut shown, [("lastStartedAt", since)]);
    Some(json!([shown]))
}

fn attachment(task: &Task, form: Form) -> Value {
    let status = match task.last {
        Status::Provisioning => "PRECREATED",
        Status::Deprovisioning => "DETACHING",
        Status::Stopped => "DELETED",
        Status::Pending
        | Status::Activating
        | Status::Running
        | Status::Deactivating
        | Status::Stopping => "ATTACHED",
    };
    json!({
        "id": task.attachment_id,
        "type": if form == Form::Event { "eni" } else { "ElasticNetworkInterface" },
        "status": status,
        "details": [{ "name": "subnetId", "value": task.requested.subnet }],
    })
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

fn add<const N: usize>(shown: &mut Value, optional: [(&str, Option<Value>); N]) {
    let present = optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    if let Some(fields) = shown.as_object_mut() {
        fields.extend(present.collect::<Map<_, _>>());
    }
}
