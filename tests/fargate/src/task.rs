//! A task as ECS knows it.

use sandbox::TaskId;
use serde_json::Value;

use crate::moment::now_ms;

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

    pub(crate) fn word(self) -> &'static str {
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

/// Why a task stopped, in ECS's words.
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
    /// Since then.
    Running(u64),
    Stopped,
}

/// What was asked for, as it is shown again.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) task_definition_arn: String,
    pub(crate) family: String,
    pub(crate) started_by: Option<String>,
    pub(crate) group: String,
    /// `FARGATE`, also for Spot.
    pub(crate) capacity_provider: Option<String>,
    pub(crate) platform_version: String,
    pub(crate) overrides: Value,
    pub(crate) tags: Value,
    /// Shown to nobody but `/_control`, and without effect.
    pub(crate) network: Value,
    pub(crate) subnet: String,
    /// ECS units, and MiB.
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
    pub(crate) asked: Asked,
    pub(crate) agent: Agent,
    /// Grows with each change that is told.
    pub(crate) version: u64,
    pub(crate) last: Status,
    pub(crate) stop: Option<Stop>,
    /// Whether its sandbox was asked for.
    pub(crate) launched: bool,
    pub(crate) exit_code: Option<i32>,
    pub(crate) container_reason: Option<&'static str>,
    /// Milliseconds since 1970, as the others.
    pub(crate) created_at: u64,
    pub(crate) pull_started_at: Option<u64>,
    pub(crate) started_at: Option<u64>,
    pub(crate) stopping_at: Option<u64>,
    pub(crate) execution_stopped_at: Option<u64>,
    pub(crate) stopped_at: Option<u64>,
}

impl Task {
    pub(crate) fn container_arn(&self) -> String {
        let below_task = self.arn.replacen(":task/", ":container/", 1);
        format!("{below_task}/{}", self.attachment_id)
    }

    /// `desiredStatus` is STOPPED from the moment on that something ends the task.
    pub(crate) fn desired(&self) -> &'static str {
        if self.stop.is_some() { "STOPPED" } else { "RUNNING" }
    }

    /// Settles why the task ends. The first reason stays.
    pub(crate) fn end(&mut self, code: &'static str, reason: &str) -> bool {
        if self.stop.is_some() {
            return false;
        }
        self.stop = Some(Stop { code, reason: reason.to_owned() });
        self.stopping_at = Some(now_ms());
        true
    }

    /// The rungs from here to `target`. A task that never ran has nothing to deactivate.
    pub(crate) fn way_to(&self, target: Status) -> Vec<Status> {
        let ending = target > Status::Running;
        let ran = self.started_at.is_some();
        let on_the_way = |status: &Status| match status {
            Status::Deactivating | Status::Stopping => ran,
            Status::Deprovisioning | Status::Stopped => true,
            Status::Provisioning | Status::Pending | Status::Activating | Status::Running => {
                !ending
            }
        };
        let between = Status::ALL.into_iter().filter(|s| *s > self.last && *s <= target);
        between.filter(on_the_way).collect()
    }

    /// Takes one step, and what comes with it.
    pub(crate) fn enter(&mut self, status: Status) {
        let now = now_ms();
        self.last = status;
        match status {
            Status::Pending => self.pull_started_at = Some(now),
            Status::Running => self.started_at = Some(now),
            Status::Stopping if self.agent != Agent::Absent => self.agent = Agent::Stopped,
            Status::Deprovisioning => self.execution_stopped_at = Some(now),
            Status::Stopped => {
                self.stopped_at = Some(now);
                // As StopTask's reference says.
                self.asked.tags = Value::Array(Vec::new());
            }
            Status::Provisioning | Status::Activating | Status::Deactivating | Status::Stopping => {
            }
        }
    }
}
