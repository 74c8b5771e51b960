//! The sandbox that a task runs in.

use std::time::Duration;

use sandbox::{Network, TaskSpec};
use serde_json::Value;

use crate::task::Task;

/// Limit of processes and threads of a task.
const PIDS: u32 = 512;
/// Disk of a task. On AWS it is ten times as large.
const DISK_MIB: u32 = 2048;

/// The sandbox of a task: the task's id is its token and its starter.
pub(super) fn of(task: &Task) -> TaskSpec {
    TaskSpec {
        started_by: task.id.clone(),
        token: task.id.clone(),
        cpu_units: task.requested.cpu,
        memory_mib: task.requested.memory,
        pids: PIDS,
        disk_mib: DISK_MIB,
        lifetime: lifetime(&task.requested.overrides),
        network: Network::None,
    }
}

/// The lifetime that an override of the container's environment tells the runner.
fn lifetime(overrides: &Value) -> Option<Duration> {
    let variables = overrides["containerOverrides"][0]["environment"].as_array()?;
    let lifetime = variables.iter().find(|one| one["name"] == "EPHEMERAL_LIFETIME_SECONDS")?;
    lifetime["value"].as_str()?.parse().ok().map(Duration::from_secs)
}
