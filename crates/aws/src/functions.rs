//! The Lambda functions: one list for the bootstrap, which gives each only the ports that it uses, and
//! for the deployment, which gives each only the rights for them.

use domain::message::Lane;
use serde::{Serialize, Serializer};

/// A function, as `infra/handlers.json` describes it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Function {
    /// `_HANDLER`, and what the function is called.
    pub name: &'static str,
    /// What makes it run.
    pub trigger: Trigger,
    /// All that it may touch.
    pub uses: &'static [Use],
    /// Memory, and with it CPU. MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u32,
    /// How long one invocation may take. Seconds.
    pub timeout_seconds: u32,
}

/// What makes a function run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Trigger {
    /// Requests of the HTTP API.
    Http,
    /// Messages of a lane, so many at once.
    Queue {
        #[serde(serialize_with = "lane_name")]
        lane: Lane,
        batch_size: u32,
    },
    /// A state of the session's execution, named by its placeholder in the state machine.
    Workflow { placeholder: &'static str },
    /// The clock.
    Schedule { every_minutes: u32 },
}

/// A right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Use {
    /// Read and write the records.
    Store,
    /// Send on this lane.
    Queue(Lane),
    /// Begin executions.
    StartExecution,
    /// Answer task tokens.
    ResumeExecution,
    /// Have tasks run.
    RunTask,
    /// Have tasks stopped.
    StopTask,
    /// Ask for tasks.
    ReadTasks,
    /// Speak with the runner in a task.
    Shell,
    /// Call users' endpoints.
    Webhooks,
}

impl Use {
    /// The word in `infra/handlers.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Queue(Lane::Control) => "queue:control",
            Self::Queue(Lane::Exec) => "queue:exec",
            Self::Queue(Lane::TaskEvents) => "queue:task-events",
            Self::Queue(Lane::Webhooks) => "queue:webhooks",
            Self::StartExecution => "workflow:start",
            Self::ResumeExecution => "workflow:resume",
            Self::RunTask => "compute:run",
            Self::StopTask => "compute:stop",
            Self::ReadTasks => "compute:read",
            Self::Shell => "shell",
            Self::Webhooks => "webhooks",
        }
    }
}

impl Serialize for Use {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

fn lane_name<S: Serializer>(lane: &Lane, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(lane.name())
}

/// All functions.
pub const FUNCTIONS: [Function; 13] = [
    Function {
        name: "api",
        trigger: Trigger::Http,
        uses: &[Use::Store, CONTROL, EXEC, WEBHOOKS],
        memory_mib: MEMORY,
        // The gateway gives up after 30 s (its quota for HTTP APIs).
        timeout_seconds: 29,
    },
    of_lane(
        Lane::Control,
        60,
        &[
            Use::Store,
            CONTROL,
            EXEC,
            WEBHOOKS,
            Use::StartExecution,
            Use::ResumeExecution,
            Use::RunTask,
            Use::StopTask,
            Use::ReadTasks,
        ],
    ),
    of_lane(
        Lane::Exec,
        60,
        &[Use::Store, EXEC, WEBHOOKS, Use::ResumeExecution, Use::ReadTasks, Use::Shell],
    ),
    of_lane(
        Lane::TaskEvents,
        60,
        &[
            Use::Store,
            EXEC,
            TASK_EVENTS,
            WEBHOOKS,
            Use::ResumeExecution,
            Use::StopTask,
            Use::ReadTasks,
            Use::Shell,
        ],
    ),
    of_lane(Lane::Webhooks, 30, &[Use::Store, WEBHOOKS, Use::Webhooks]),
    // Their timeouts are shorter than those of their states, so that an error has a name.
    of_workflow(
        "provision-task",
        "ProvisionTask",
        55,
        &[
            Use::Store,
            CONTROL,
            EXEC,
            WEBHOOKS,
            Use::ResumeExecution,
            Use::RunTask,
            Use::StopTask,
            Use::ReadTasks,
        ],
    ),
    of_workflow("await-running", "AwaitRunning", 25, &[Use::Store, Use::ResumeExecution]),
    of_workflow("inspect-session", "InspectSession", 25, &[Use::Store, WEBHOOKS]),
    of_workflow("await-end", "AwaitEnd", 25, &[Use::Store, Use::ResumeExecution]),
    of_workflow("stop-task", "StopTask", 55, &[Use::Store, Use::StopTask, Use::ReadTasks]),
    of_workflow("await-stopped", "AwaitStopped", 25, &[Use::Store, Use::ResumeExecution]),
    of_workflow(
        "close-session",
        "CloseSession",
        55,
        &[Use::Store, CONTROL, WEBHOOKS, Use::StopTask, Use::ReadTasks],
    ),
    Function {
        name: "sweep",
        trigger: Trigger::Schedule { every_minutes: 1 },
        uses: &[
            Use::Store,
            CONTROL,
            EXEC,
            TASK_EVENTS,
            WEBHOOKS,
            Use::StartExecution,
            Use::ResumeExecution,
            Use::RunTask,
            Use::StopTask,
            Use::ReadTasks,
            Use::Shell,
        ],
        memory_mib: MEMORY,
        timeout_seconds: 120,
    },
];

const MEMORY: u32 = 256;
const CONTROL: Use = Use::Queue(Lane::Control);
const EXEC: Use = Use::Queue(Lane::Exec);
const TASK_EVENTS: Use = Use::Queue(Lane::TaskEvents);
const WEBHOOKS: Use = Use::Queue(Lane::Webhooks);

const fn of_lane(lane: Lane, timeout_seconds: u32, uses: &'static [Use]) -> Function {
    let trigger = Trigger::Queue { lane, batch_size: 10 };
    Function { name: lane.name(), trigger, uses, memory_mib: MEMORY, timeout_seconds }
}

const fn of_workflow(
    name: &'static str,
    placeholder: &'static str,
    timeout_seconds: u32,
    uses: &'static [Use],
) -> Function {
    let trigger = Trigger::Workflow { placeholder };
    Function { name, trigger, uses, memory_mib: MEMORY, timeout_seconds }
}

impl Function {
    /// The function of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// Whether it may touch this.
    pub fn may(&self, right: Use) -> bool {
        self.uses.contains(&right)
    }
}

#[cfg(test)]
mod tests;
