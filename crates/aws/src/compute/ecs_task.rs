//! Converts ECS tasks and task events to the domain's task facts.

use aws_sdk_ecs::{primitives::DateTime, types::Task};
use domain::{
    TaskId, Timestamp,
    task::{StopCause, StopCode, TaskFacts, TaskStatus},
};
use serde::Deserialize;

/// The name of the shell's container. AWS services such as GuardDuty add containers of their own.
pub const CONTAINER: &str = "shell";

/// A task: the `detail` of the event "ECS Task State Change", or the same fields of DescribeTasks
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html>).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskDetail {
    task_arn: String,
    started_by: Option<String>,
    #[serde(default)]
    version: u64,
    last_status: String,
    desired_status: Option<String>,
    stop_code: Option<String>,
    stopped_reason: Option<String>,
    #[serde(default)]
    containers: Vec<Container>,
    created_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    stopping_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    /// Only events have it.
    updated_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    exit_code: Option<i32>,
    reason: Option<String>,
}

impl TaskDetail {
    /// The facts of the task. None for a task without `startedBy`, which this product did not start.
    pub fn facts(self) -> Option<TaskFacts> {
        let started_by = self.started_by.clone()?;
        Some(TaskFacts {
            task: TaskId::new(&self.task_arn),
            started_by,
            version: self.version,
            status: self.status(),
            ending: self.desired_status.as_deref() == Some("STOPPED"),
            stop: self.stop(),
            at: self.at(),
        })
    }

    fn shell(&self) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == CONTAINER)
    }

    fn status(&self) -> TaskStatus {
        match self.last_status.as_str() {
            // The agent of ECS Exec may not run yet, and an event for it is not promised: a probe finds out.
            "RUNNING" => TaskStatus::Running,
            "DEACTIVATING" | "STOPPING" | "DEPROVISIONING" => TaskStatus::Stopping,
            "STOPPED" | "DELETED" => TaskStatus::Stopped,
            // It has no network interface yet, or on instances no instance.
            "PROVISIONING" => TaskStatus::Unplaced,
            // PENDING, ACTIVATING.
            _ => TaskStatus::Pending,
        }
    }

    fn stop(&self) -> Option<StopCause> {
        let code = self.stop_code.as_deref();
        if code.is_none() && self.status() != TaskStatus::Stopped {
            return None;
        }
        let shell = self.shell();
        let container_reason = shell.and_then(|shell| shell.reason.as_deref());
        let code = match code {
            Some("TaskFailedToStart") => StopCode::FailedToStart,
            Some("EssentialContainerExited") if container_reason.is_some_and(is_out_of_memory) => {
                StopCode::OutOfMemory
            }
            Some("EssentialContainerExited") => StopCode::Exited,
            Some("UserInitiated") => StopCode::Requested,
            Some("SpotInterruption" | "TerminationNotice") => StopCode::Interrupted,
            _ => StopCode::Other,
        };
        let messages = [self.stopped_reason.as_deref(), container_reason];
        Some(StopCause {
            code,
            message: messages.into_iter().flatten().collect::<Vec<_>>().join("; "),
            exit_code: shell.and_then(|shell| shell.exit_code),
        })
    }

    fn at(&self) -> Timestamp {
        let known = [self.stopped_at, self.updated_at, self.stopping_at, self.started_at];
        let at = known.into_iter().flatten().next().or(self.created_at);
        at.unwrap_or(Timestamp::from_millis(0))
    }
}

/// Whether the reason is "OutOfMemoryError: Container killed due to memory usage"
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>).
fn is_out_of_memory(reason: &str) -> bool {
    reason.starts_with("OutOfMemory")
}

impl From<&Task> for TaskDetail {
    fn from(task: &Task) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self {
            task_arn: task.task_arn().unwrap_or_default().to_owned(),
            started_by: text(task.started_by()),
            version: u64::try_from(task.version()).unwrap_or_default(),
            last_status: task.last_status().unwrap_or_default().to_owned(),
            desired_status: text(task.desired_status()),
            stop_code: text(task.stop_code().map(|code| code.as_str())),
            stopped_reason: text(task.stopped_reason()),
            containers: task.containers().iter().map(Container::from).collect(),
            created_at: task.created_at().and_then(timestamp),
            started_at: task.started_at().and_then(timestamp),
            stopping_at: task.stopping_at().and_then(timestamp),
            stopped_at: task.stopped_at().and_then(timestamp),
            updated_at: None,
        }
    }
}

impl From<&aws_sdk_ecs::types::Container> for Container {
    fn from(container: &aws_sdk_ecs::types::Container) -> Self {
        Self {
            name: container.name().unwrap_or_default().to_owned(),
            exit_code: container.exit_code(),
            reason: container.reason().map(str::to_owned),
        }
    }
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    at.to_millis().ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests;
