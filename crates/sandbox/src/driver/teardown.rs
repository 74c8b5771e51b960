//! Removes sandboxes. Every step may be repeated and may have been done in part.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, getpid, waitpid};

use super::{Inner, Runtime};
use crate::task::{Desired, Status, StopCode, TaskId, now_ms};

/// Longest time for all processes of a sandbox to end after SIGKILL; usually it takes milliseconds.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

impl Inner {
    /// Removes the sandbox, then reports the task as stopped.
    pub(super) fn teardown(&self, id: &TaskId) {
        let Some(task) = self.task(id) else { return };
        if task.lock().record.facts.last_status == Status::Stopped {
            return;
        }
        let oom_killed = self.oom_kills(id) > 0;
        if let Err(error) = self.remove_sandbox(id) {
            tracing::error!(task.id = %id, error = %error, "failed to remove a sandbox; it will be retried");
            return self.monitor.schedule(id, Instant::now() + KILL_TIMEOUT);
        }
        let mut block = None;
        self.change(id, |task| {
            if task.record.facts.last_status == Status::Stopped {
                return false;
            }
            // Keeps an earlier reason. There is none if PID 1 ended while no driver was running.
            task.record
                .end(StopCode::EssentialContainerExited, "PID 1 ended while no server was running");
            let facts = &mut task.record.facts;
            facts.oom_killed |= oom_killed;
            facts.last_status = Status::Stopped;
            facts.desired = Desired::Stopped;
            facts.stopped_at_ms = Some(now_ms());
            task.record.init = None;
            task.record.prepared = None;
            task.init = None;
            block = task.record.block.take();
            true
        });
        if let (Some(blocks), Some(block)) = (&self.blocks, block) {
            blocks.release(id, block);
        }
    }

    /// Kills all processes of a sandbox and removes its cgroups and files. Its mounts are in its own mount
    /// namespace, which the kernel removes with the last process.
    pub(super) fn remove_sandbox(&self, id: &TaskId) -> io::Result<()> {
        self.cgroup(id).destroy(KILL_TIMEOUT)?;
        self.owned.lock().remove(&self.name(id));
        if matches!(self.config.runtime, Runtime::Program(_)) {
            reap_orphans(id);
        }
        match fs::remove_dir_all(self.dir(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Reaps the ended processes of a sandbox that an OCI runtime has left to this process, a subreaper: crun
/// detaches itself from its caller.
fn reap_orphans(id: &TaskId) {
    let own = getpid().as_raw_nonzero().to_string();
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        // After the name in parentheses: state and parent; see proc(5).
        let stat = read("stat");
        let state = stat.rsplit_once(") ").map_or("", |(_, state)| state);
        let is_orphan =
            state.strip_prefix("Z ").and_then(|rest| rest.split(' ').next()) == Some(&own);
        if is_orphan && read("cgroup").contains(id.as_str()) {
            // Fails if another thread has reaped it.
            let _ = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
        }
    }
}
