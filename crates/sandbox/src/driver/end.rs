//! From a sandbox to nothing. Each step may be repeated, and half of it found done.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::{Inner, guard};
use crate::task::{Desired, Status, StopCode, TaskId, now_ms};

/// For everything in a sandbox to die; it takes milliseconds unless the kernel is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

impl Inner {
    /// Removes what there is of the sandbox, then says that the task has stopped.
    pub(super) fn end(&self, id: &TaskId) {
        let Some(task) = self.task(id) else { return };
        if guard(&task).record.facts.last_status == Status::Stopped {
            return;
        }
        let oom_killed = self.cgroups.of(id).oom_kills() > 0;
        if let Err(error) = self.demolish(id) {
            tracing::error!(task.id = %id, error = %error, "a sandbox can't be removed yet");
            return self.watch.look_at(id, Instant::now() + PATIENCE);
        }
        self.change(id, |task| {
            if task.record.facts.last_status == Status::Stopped {
                return false;
            }
            // Found dead by a driver that had not seen it end.
            task.record.end(StopCode::EssentialContainerExited, "PID 1 ended unobserved");
            let facts = &mut task.record.facts;
            facts.oom_killed |= oom_killed;
            facts.last_status = Status::Stopped;
            facts.desired = Desired::Stopped;
            facts.stopped_at_ms = Some(now_ms());
            task.record.init = None;
            task.init = None;
            true
        });
    }

    /// Kills all processes of a sandbox and removes its control groups and files. Its mounts were
    /// in its own namespace and went with its last process.
    pub(super) fn demolish(&self, id: &TaskId) -> io::Result<()> {
        self.cgroups.of(id).destroy(PATIENCE)?;
        match fs::remove_dir_all(self.dir(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
