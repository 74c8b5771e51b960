//! The functions of a deployment that runs the handlers apart from each other, as AWS does.

use domain::message::Lane;
use serde::{Serialize, Serializer};

use super::Permission;
use crate::{SWEEP, Step};

/// A function, as `infra/handlers.json` describes it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Function {
    /// The name of the function.
    pub name: &'static str,
    /// What calls it.
    pub trigger: Trigger,
    /// All that it may do.
    pub uses: &'static [Permission],
    /// Memory, which also decides the share of a CPU. MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u32,
    /// How long one invocation may take. Seconds.
    pub timeout_seconds: u32,
}

/// What calls a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Trigger {
    /// Requests of the HTTP API.
    Http,
    /// Messages of a lane, at most `batch_size` in one call.
    Queue {
        #[serde(serialize_with = "lane_name")]
        lane: Lane,
        batch_size: u32,
    },
    /// A state of the state machine.
    Workflow {
        #[serde(rename = "placeholder", serialize_with = "placeholder")]
        step: Step,
    },
    /// A schedule.
    Schedule { every_minutes: u32 },
    /// The events of all users, at most `batch_size` in one call.
    Events { batch_size: u32 },
    /// The connections that runners open, and what they say on them.
    Link,
}

fn lane_name<S: Serializer>(lane: &Lane, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(lane.name())
}

fn placeholder<S: Serializer>(step: &Step, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(step.placeholder())
}

/// All functions.
pub const FUNCTIONS: [Function; 14] = [
    Function {
        name: "api",
        trigger: Trigger::Http,
        uses: &[
            Permission::Store,
            CONTROL,
            EXEC,
            WEBHOOKS,
            Permission::PostCommands,
            Permission::Transfers,
        ],
        // Most of its time it waits for the ends of commands.
        memory_mib: MEMORY_TO_WAIT,
        // A gateway for HTTP APIs waits at most 30 s for an answer.
        timeout_seconds: 29,
    },
    of_lane(
        Lane::Control,
        60,
        &[
            Permission::Store,
            CONTROL,
            EXEC,
            WEBHOOKS,
            Permission::StartExecution,
            Permission::ResumeExecution,
            Permission::RunTask,
            Permission::StopTask,
            Permission::ReadTasks,
        ],
    ),
    of_lane(
        Lane::Exec,
        60,
        &[
            Permission::Store,
            EXEC,
            WEBHOOKS,
            Permission::ResumeExecution,
            Permission::ReadTasks,
            Permission::Shell,
            Permission::Transfers,
        ],
    ),
    of_lane(
        Lane::TaskEvents,
        60,
        &[
            Permission::Store,
            CONTROL,
            EXEC,
            TASK_EVENTS,
            WEBHOOKS,
            Permission::ResumeExecution,
            Permission::StopTask,
            Permission::ReadTasks,
            Permission::Shell,
        ],
    ),
    of_lane(Lane::Webhooks, 30, &[Permission::Store, WEBHOOKS, Permission::Webhooks]),
    // Shorter than the timeouts of the states, so that the error of a state has a name.
    of_step(
        Step::ProvisionTask,
        55,
        &[
            Permission::Store,
            CONTROL,
            EXEC,
            WEBHOOKS,
            Permission::ResumeExecution,
            Permission::RunTask,
            Permission::StopTask,
            Permission::ReadTasks,
        ],
    ),
    of_step(Step::AwaitRunning, 25, &[Permission::Store, Permission::ResumeExecution]),
    of_step(Step::InspectSession, 25, &[Permission::Store, EXEC, WEBHOOKS]),
    of_step(Step::AwaitEnd, 25, &[Permission::Store, Permission::ResumeExecution]),
    of_step(
        Step::StopTask,
        55,
        &[
            Permission::Store,
            CONTROL,
            WEBHOOKS,
            Permission::ResumeExecution,
            Permission::StopTask,
            Permission::ReadTasks,
        ],
    ),
    of_step(
        Step::CloseSession,
        55,
        &[Permission::Store, CONTROL, WEBHOOKS, Permission::StopTask, Permission::ReadTasks],
    ),
    Function {
        name: SWEEP,
        trigger: Trigger::Schedule { every_minutes: 1 },
        uses: &[
            Permission::Store,
            CONTROL,
            EXEC,
            TASK_EVENTS,
            WEBHOOKS,
            Permission::StartExecution,
            Permission::ResumeExecution,
            Permission::RunTask,
            Permission::StopTask,
            Permission::ReadTasks,
            Permission::Shell,
        ],
        memory_mib: MEMORY,
        timeout_seconds: 120,
    },
    Function {
        name: PUBLISH,
        trigger: Trigger::Events { batch_size: 100 },
        uses: &[Permission::Publish],
        memory_mib: 128,
        timeout_seconds: 30,
    },
    Function {
        name: LINK,
        trigger: Trigger::Link,
        uses: &[
            Permission::Store,
            CONTROL,
            EXEC,
            TASK_EVENTS,
            WEBHOOKS,
            Permission::ResumeExecution,
            Permission::StopTask,
            Permission::ReadTasks,
            Permission::Shell,
            Permission::Transfers,
        ],
        memory_mib: MEMORY_TO_WAIT,
        // A gateway waits at most 29 s for an answer to a frame.
        timeout_seconds: 29,
    },
];

/// The name of the function that publishes the events of users, in deployments that have one.
pub const PUBLISH: &str = "publish-events";

/// The function behind the connections of runners.
pub const LINK: &str = "link";

const MEMORY: u32 = 256;
/// A function has as much of a processor as memory. One that mostly waits is billed for half as much.
const MEMORY_TO_WAIT: u32 = 128;
const CONTROL: Permission = Permission::Queue(Lane::Control);
const EXEC: Permission = Permission::Queue(Lane::Exec);
const TASK_EVENTS: Permission = Permission::Queue(Lane::TaskEvents);
const WEBHOOKS: Permission = Permission::Queue(Lane::Webhooks);

/// The functions of lanes wait for other systems most of the time.
const fn of_lane(lane: Lane, timeout_seconds: u32, uses: &'static [Permission]) -> Function {
    let trigger = Trigger::Queue { lane, batch_size: 10 };
    Function { name: lane.name(), trigger, uses, memory_mib: MEMORY_TO_WAIT, timeout_seconds }
}

const fn of_step(step: Step, timeout_seconds: u32, uses: &'static [Permission]) -> Function {
    let trigger = Trigger::Workflow { step };
    Function { name: step.name(), trigger, uses, memory_mib: MEMORY, timeout_seconds }
}

impl Function {
    /// The function of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// Whether it may do this.
    pub fn may(&self, permission: Permission) -> bool {
        self.uses.contains(&permission)
    }
}
