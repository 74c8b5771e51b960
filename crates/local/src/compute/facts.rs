//! The driver's words for a task in the domain's.

use domain::{
    TaskId, Timestamp,
    task::{StopCause, StopCode, TaskFacts, TaskStatus},
};
use sandbox::{Desired, Status};

/// 128 + SIGKILL.
const KILLED: i32 = 137;

pub(super) fn of(told: sandbox::TaskFacts) -> TaskFacts {
    let stop = told.stop_code.map(|code| StopCause {
        code: stop_code(code, &told),
        message: told.stopped_reason.clone(),
        exit_code: told.exit_code,
    });
    let at = told.stopped_at_ms.or(told.started_at_ms).unwrap_or(told.created_at_ms);
    TaskFacts {
        task: TaskId::new(told.id.as_str()),
        started_by: told.started_by,
        version: told.version,
        status: match told.last_status {
            Status::Provisioning => TaskStatus::Pending,
            Status::Running => TaskStatus::Running,
            Status::Stopping => TaskStatus::Stopping,
            Status::Stopped => TaskStatus::Stopped,
        },
        ending: told.desired == Desired::Stopped,
        stop,
        at: Timestamp::from_millis(i64::try_from(at).unwrap_or(i64::MAX)),
    }
}

/// The kernel may have killed for memory before, and not the first process. Only one that was killed,
/// or whose end nobody saw, ended for it.
fn stop_code(code: sandbox::StopCode, told: &sandbox::TaskFacts) -> StopCode {
    match code {
        sandbox::StopCode::TaskFailedToStart => StopCode::FailedToStart,
        sandbox::StopCode::EssentialContainerExited
            if told.oom_killed && told.exit_code.is_none_or(|code| code == KILLED) =>
        {
            StopCode::OutOfMemory
        }
        sandbox::StopCode::EssentialContainerExited => StopCode::Exited,
        sandbox::StopCode::UserInitiated => StopCode::Requested,
    }
}
