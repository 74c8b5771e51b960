//! Ends tasks whose deadline has passed, whatever became of whoever started them.

use std::time::{Duration, Instant};

use super::{Inner, Status};
use crate::record::Record;
use crate::task::{Desired, StopCode, TaskId};

/// How long after a task's deadline it is killed: its owner stops it at the deadline, and its runner ends
/// by itself half a minute later.
const GRACE: Duration = Duration::from_secs(45);

impl Inner {
    pub(super) fn set_deadline(&self, id: &TaskId, after: Duration) {
        let Some(task) = self.task(id) else { return };
        let mut task = task.lock();
        if task.record.facts.last_status == Status::Stopped {
            return;
        }
        task.record.set_deadline(after);
        if let Err(error) = self.records.save(&task.record) {
            // Not fatal: this driver knows the new deadline, and so does the runner.
            tracing::error!(task.id = %id, error = %error, "failed to write a task's deadline");
        }
        drop(task);
        self.schedule_expiry(id);
    }

    /// Has the monitor check the task after its deadline. Extending adds a check; earlier ones find nothing
    /// to do.
    pub(super) fn schedule_expiry(&self, id: &TaskId) {
        let Some(left) = self.time_left(id) else { return };
        if let Some(at) = Instant::now().checked_add(left + GRACE) {
            self.monitor.schedule_expiry(id, at);
        }
    }

    /// Kills a task whose deadline has passed by more than the grace.
    pub(super) fn expire(&self, id: &TaskId) {
        let mut init = None;
        self.change(id, |task| {
            let record = &mut task.record;
            if !is_overdue(record) || record.facts.last_status == Status::Stopped {
                return false;
            }
            init = task.init.clone();
            let is_new = record.facts.desired == Desired::Running;
            record.end(StopCode::UserInitiated, "its deadline has passed");
            is_new
        });
        if let Some(init) = init {
            tracing::warn!(task.id = %id, "killing a sandbox whose deadline has passed");
            // Fails if PID 1 has ended; the monitor reports that.
            let _ = rustix::process::pidfd_send_signal(init, rustix::process::Signal::KILL);
        }
    }
}

/// Timers count from another clock, so a second is tolerated.
fn is_overdue(record: &Record) -> bool {
    let slack = Duration::from_secs(1);
    let passed = record.deadline_ms.map(|at| crate::task::now_ms().saturating_sub(at));
    passed.is_some_and(|passed| Duration::from_millis(passed) + slack >= GRACE)
}
