//! From an intent to a running sandbox.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::pool::Work;
use super::{Inner, guard};
use crate::record::Process;
use crate::runtime::PID_FILE;
use crate::task::{Desired, Status, StopCode, TaskId, TaskSpec, now_ms};

/// For the launcher, and then for the runner's first sign of life.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of a failed launcher's last words.
const MAX_REASON_BYTES: usize = 2000;

impl Inner {
    /// Makes the sandbox, unless it is not wanted any more.
    pub(super) fn launch(&self, id: &TaskId) {
        let Some(task) = self.task(id) else { return };
        let (spec, desired) = {
            let task = guard(&task);
            (task.record.spec.clone(), task.record.facts.desired)
        };
        if desired == Desired::Stopped {
            return self.end(id);
        }
        match self.make(id, &spec) {
            Ok((process, init)) => self.launched(id, process, init),
            Err(reason) => {
                tracing::warn!(task.id = %id, reason, "a sandbox failed to start");
                self.change(id, |task| {
                    task.record.end(StopCode::TaskFailedToStart, &reason);
                    true
                });
                self.end(id);
            }
        }
    }

    fn launched(&self, id: &TaskId, process: Process, init: Arc<OwnedFd>) {
        self.change(id, |task| {
            task.record.init = Some(process);
            task.record.facts.last_status = Status::Running;
            task.record.facts.started_at_ms = Some(now_ms());
            task.init = Some(Arc::clone(&init));
            if task.record.facts.desired == Desired::Stopped {
                self.terminate(task);
            }
            true
        });
        self.watch.add(id, &init);
    }

    fn make(&self, id: &TaskId, spec: &TaskSpec) -> Result<(Process, Arc<OwnedFd>), String> {
        let fail = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| format!("{what}: {error}")
        };
        self.demolish(id).map_err(fail("what was left of it can't be removed"))?;
        self.prepare(id, spec).map_err(fail("its files can't be written"))?;
        let cgroup = self.cgroups.of(id);
        cgroup.create(spec).map_err(fail("its control group can't be made"))?;
        self.run_launcher(id)?;
        let (process, init) = self.find_init(id).map_err(fail("its PID 1 can't be found"))?;
        self.await_runner(id, &init)?;
        cgroup.limit_cpu(spec).map_err(fail("its CPU limit can't be set"))?;
        Ok((process, init))
    }

    fn run_launcher(&self, id: &TaskId) -> Result<(), String> {
        let dir = self.dir(id);
        let log = dir.join("log");
        let failed = |error: io::Error| format!("its launcher can't be run: {error}");
        let output = File::create(&log).map_err(failed)?;
        let mut child = Command::new(&self.config.exe)
            .args(["runtime", "launch"])
            .arg(&dir)
            .env_clear()
            .env("PATH", crate::rootfs::SEARCH_PATH)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .spawn()
            .map_err(failed)?;
        let pidfd = Pid::from_child(&child);
        let pidfd = pidfd_open(pidfd, PidfdFlags::empty()).map_err(|error| failed(error.into()))?;
        if !readable_within(&pidfd, PATIENCE) {
            // Whatever it has made is in the control group, which goes next.
            child.kill().map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("its launcher failed: {}", last_words(&log)))
        }
    }

    fn find_init(&self, id: &TaskId) -> io::Result<(Process, Arc<OwnedFd>)> {
        let pid = fs::read_to_string(self.dir(id).join(PID_FILE))?;
        let pid = pid.trim().parse().map_err(io::Error::other)?;
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let process = Process::current(pid).ok_or_else(gone)?;
        let init = open_process(&process).ok_or_else(gone)?;
        Ok((process, init))
    }

    /// Waits until the runner's socket takes a connection.
    fn await_runner(&self, id: &TaskId, init: &OwnedFd) -> Result<(), String> {
        let socket = self.socket(id);
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(200);
        while UnixStream::connect(&socket).is_err() {
            if readable_within(init, pause) {
                return Err(format!(
                    "PID 1 ended at once: {}",
                    last_words(&self.dir(id).join("log"))
                ));
            }
            if Instant::now() >= deadline {
                return Err("PID 1 does not answer".to_owned());
            }
            pause = (pause * 2).min(Duration::from_millis(10));
        }
        Ok(())
    }

    /// PID 1 of a task has ended.
    pub(super) fn exited(&self, id: &TaskId, code: Option<i32>) {
        let oom_killed = self.cgroups.of(id).oom_kills() > 0;
        self.change(id, |task| {
            let facts = &mut task.record.facts;
            facts.exit_code = code;
            facts.oom_killed = oom_killed;
            facts.last_status = Status::Stopping;
            let reason = match (oom_killed, code) {
                (true, _) => "PID 1 ended, after the kernel killed for lack of memory".to_owned(),
                (false, Some(code)) => format!("PID 1 ended with {code}"),
                (false, None) => "PID 1 ended".to_owned(),
            };
            task.record.end(StopCode::EssentialContainerExited, &reason);
            task.init = None;
            true
        });
        self.pool.push(Work::End(id.clone()));
    }
}

/// A handle that stays with this very process. `None` if it is gone.
pub(super) fn open_process(process: &Process) -> Option<Arc<OwnedFd>> {
    let pidfd = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    // Looked at again, for the number may have passed on in between.
    process.is_current().then(|| Arc::new(pidfd))
}

fn readable_within(fd: &impl AsFd, time: Duration) -> bool {
    let Ok(timeout) = Timespec::try_from(time) else { return false };
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => ready > 0,
        Err(_) => {
            thread::sleep(time);
            false
        }
    }
}

fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let start = text.len().saturating_sub(MAX_REASON_BYTES);
    let text = String::from_utf8_lossy(text.get(start..).unwrap_or_default());
    let text = text.trim();
    if text.is_empty() { "it said nothing".to_owned() } else { text.to_owned() }
}
