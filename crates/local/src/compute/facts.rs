//! Converts the driver's observations of a task into the domain's.

use domain::{
    TaskId, Timestamp,
    task::{StopCause, StopCode, TaskFacts, TaskStatus},
};
use sandbox::{Desired, Status};

/// The exit code of a process that SIGKILL ended: 128 + 9.
const KILLED: i32 = 137;

pub(super) fn of(facts: sandbox::TaskFacts) -> TaskFacts {
    let stop = facts.stop_code.map(|code| StopCause {
        code: stop_code(code, &facts),
        message: facts.stopped_reason.clone(),
        exit_code: facts.exit_code,
    });
    let at = facts.stopped_at_ms.or(facts.started_at_ms).unwrap_or(facts.created_at_ms);
    TaskFacts {
        task: TaskId::new(facts.id.as_str()),
        started_by: facts.started_by,
        version: facts.version,
        status: match facts.last_status {
            Status::Provisioning => TaskStatus::Pending,
            Status::Running => TaskStatus::Running,
            Status::Stopping => TaskStatus::Stopping,
            Status::Stopped => TaskStatus::Stopped,
        },
        ending: facts.desired == Desired::Stopped,
        stop,
        at: Timestamp::from_millis(i64::try_from(at).unwrap_or(i64::MAX)),
    }
}

/// The kernel may have killed another process of the task for memory earlier. So the task counts as out
/// of memory only if its first process was killed, or if its end was not observed.
fn stop_code(code: sandbox::StopCode, facts: &sandbox::TaskFacts) -> StopCode {
    match code {
        sandbox::StopCode::TaskFailedToStart => StopCode::FailedToStart,
        sandbox::StopCode::EssentialContainerExited
            if facts.oom_killed && facts.exit_code.is_none_or(|code| code == KILLED) =>
        {
            StopCode::OutOfMemory
        }
        sandbox::StopCode::EssentialContainerExited => StopCode::Exited,
        sandbox::StopCode::UserInitiated => StopCode::Requested,
    }
}
