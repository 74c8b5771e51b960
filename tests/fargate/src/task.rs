//! A task as ECS knows it.

use sandbox::TaskId;
use serde_json::Value;
use time::OffsetDateTime;

use crate::time_format::now;

/// `lastStatus`, in the order in which a task goes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl Status {
    const ALL: [Self; 8] = [
        Self::Provisioning,
        Self::Pending,
        Self::Activating,
        Self::Running,
        Self::Deactivating,
        Self::Stopping,
        Self::Deprovisioning,
        Self::Stopped,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Why a task stopped: `stopCode` and `stoppedReason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) code: &'static str,
    pub(crate) reason: String,
}

/// The agent that ECS Exec needs in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agent {
    /// The task was run without ECS Exec.
    Absent,
    Pending,
    /// The agent is connected since this time.
    Running(OffsetDateTime),
    Stopped,
}

/// The request for a task, as DescribeTasks shows it.
#[derive(Debug, Clone)]
pub(crate) struct Requested {
    pub(crate) task_definition_arn: String,
    pub(crate) family: String,
    pub(crate) started_by: Option<String>,
    pub(crate) group: String,
    /// Whether the task runs on an instance and not on Fargate.
    pub(crate) on_instance: bool,
    pub(crate) capacity_provider: Option<String>,
    pub(crate) platform_version: String,
    pub(crate) overrides: Value,
    pub(crate) tags: Value,
    /// The network has no effect, and only `/_control` shows it.
    pub(crate) network: Value,
    pub(crate) subnet: String,
    /// CPU units of ECS; memory in MiB.
    pub(crate) cpu: u32,
    pub(crate) memory: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// 32 hex digits.
    pub(crate) id: String,
    pub(crate) sandbox: TaskId,
    pub(crate) arn: String,
    pub(crate) cluster_arn: String,
    pub(crate) runtime_id: String,
    pub(crate) attachment_id: String,
    pub(crate) requested: Requested,
    pub(crate) agent: Agent,
    /// Grows with each event.
    pub(crate) version: u64,
    pub(crate) last: Status,
    pub(crate) stop: Option<Stop>,
    /// Whether the task has an instance. One on Fargate needs none.
    pub(crate) has_instance: bool,
    /// Whether the sandbox was requested.
    pub(crate) launched: bool,
    pub(crate) exit_code: Option<i32>,
    pub(crate) container_reason: Option<&'static str>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) pull_started_at: Option<OffsetDateTime>,
    pub(crate) started_at: Option<OffsetDateTime>,
    pub(crate) stopping_at: Option<OffsetDateTime>,
    pub(crate) execution_stopped_at: Option<OffsetDateTime>,
    pub(crate) stopped_at: Option<OffsetDateTime>,
}

impl Task {
    pub(crate) fn container_arn(&self) -> String {
        let below_task = self.arn.replacen(":task/", ":container/", 1);
        format!("{below_task}/{}", self.attachment_id)
    }

    /// Of an instance that no other task has.
    pub(crate) fn instance_arn(&self) -> String {
        self.arn.replacen(":task/", ":container-instance/", 1)
    }

    pub(crate) fn launch_type(&self) -> &'static str {
        if self.requested.on_instance { "EC2" } else { "FARGATE" }
    }

    /// `desiredStatus` is STOPPED from the time_format on that something ends the task.
    pub(crate) fn desired(&self) -> &'static str {
        if self.stop.is_some() { "STOPPED" } else { "RUNNING" }
    }

    /// Records why the task ends; the first reason is kept. False if there is a reason already.
    pub(crate) fn end(&mut self, code: &'static str, reason: &str) -> bool {
        if self.stop.is_some() {
            return false;
        }
        self.stop = Some(Stop { code, reason: reason.to_owned() });
        self.stopping_at = Some(now());
        true
    }

    /// The statuses from the current one to `target`. A task that never ran skips deactivation.
    pub(crate) fn path_to(&self, target: Status) -> Vec<Status> {
        let ending = target > Status::Running;
        let ran = self.started_at.is_some();
        let on_the_path = |status: &Status| match status {
            Status::Deactivating | Status::Stopping => ran,
            Status::Deprovisioning | Status::Stopped => true,
            Status::Provisioning | Status::Pending | Status::Activating | Status::Running => {
                !ending
            }
        };
        let between = Status::ALL.into_iter().filter(|s| *s > self.last && *s <= target);
        between.filter(on_the_path).collect()
    }

    /// Enters a status, and records its time.
    pub(crate) fn enter(&mut self, status: Status) {
        let now = now();
        self.last = status;
        match status {
            Status::Pending => self.pull_started_at = Some(now),
            Status::Running => self.started_at = Some(now),
            Status::Stopping if self.agent != Agent::Absent => self.agent = Agent::Stopped,
            Status::Deprovisioning => self.execution_stopped_at = Some(now),
            Status::Stopped => {
                self.stopped_at = Some(now);
                // The reference of StopTask says that a stopped task has no tags.
                self.requested.tags = Value::Array(Vec::new());
            }
            Status::Provisioning | Status::Activating | Status::Deactivating | Status::Stopping => {
            }
        }
    }
}
