//! Starts sandboxes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Inner;
use super::plan::NewSandbox;
use super::pool::Work;
use crate::record::Process;
use crate::runtime::PID_FILE;
use crate::task::{Desired, Status, StopCode, TaskId, TaskSpec, now_ms};

mod socket_watch;

pub(super) use socket_watch::SocketWatches;

/// Longest time for the launcher to end, and then for the runner to accept a connection.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time between two attempts to connect to the runner, where no event tells that it listens.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);
/// Largest part of a failed launcher's output that is reported.
const MAX_REASON_BYTES: usize = 2000;

impl Inner {
    /// Creates the sandbox, unless the task must stop.
    pub(super) fn launch(&self, id: &TaskId) {
        let Some(task) = self.task(id) else { return };
        let (spec, desired) = {
            let task = task.lock();
            (task.record.spec.clone(), task.record.facts.desired)
        };
        if desired == Desired::Stopped {
            return self.teardown(id);
        }
        let _starting = self.stock.starting();
        match self.find_or_create(id, &spec) {
            Ok((process, init)) => self.launched(id, process, init),
            Err(reason) => {
                tracing::warn!(task.id = %id, reason, "failed to start a sandbox");
                self.change(id, |task| {
                    task.record.end(StopCode::TaskFailedToStart, &reason);
                    true
                });
                self.teardown(id);
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
        self.monitor.add(id, &init);
    }

    /// Uses a prepared sandbox if there is one, else a new one.
    fn find_or_create(
        &self,
        id: &TaskId,
        spec: &TaskSpec,
    ) -> Result<(Process, Arc<OwnedFd>), String> {
        // An interrupted start may have left a sandbox, which is replaced.
        let is_first = self.block(id).is_none() && !self.dir(id).exists();
        if let Some(prepared) = is_first.then(|| self.take_prepared(spec)).flatten() {
            match self.adopt(id, spec, prepared) {
                Ok(adopted) => return Ok(adopted),
                Err(reason) => tracing::warn!(task.id = %id, reason, "making another sandbox"),
            }
        }
        self.create(id, spec)
    }

    fn create(&self, id: &TaskId, spec: &TaskSpec) -> Result<(Process, Arc<OwnedFd>), String> {
        self.remove_sandbox(id).map_err(fail("failed to remove an earlier sandbox of the task"))?;
        self.give_up_prepared(id).map_err(fail("failed to record the task's sandbox"))?;
        self.claim_block(id).map_err(fail("failed to find ids for the sandbox"))?;
        let (block, time_left) = (self.block(id), self.time_left(id));
        let new = NewSandbox { name: id, spec, block, time_left, waits: false };
        let null = File::open("/dev/null").map_err(fail("failed to open /dev/null"))?;
        let (process, init, log) = self.build(&new, null.into())?;
        self.await_runner(id, &init, log)?;
        let cgroup = self.cgroup(id);
        cgroup.limit_cpu(spec).map_err(fail("failed to set the CPU limit"))?;
        Ok((process, init))
    }

    /// Makes a sandbox. Returns its PID 1, and what that and the launcher print.
    pub(super) fn build(
        &self,
        new: &NewSandbox<'_>,
        stdin: Stdio,
    ) -> Result<(Process, Arc<OwnedFd>, File), String> {
        self.write_files(new).map_err(fail("failed to write the sandbox's files"))?;
        let cgroup = self.cgroups.of(new.name);
        cgroup.create(new.spec).map_err(fail("failed to create the sandbox's cgroup"))?;
        if let Some(block) = new.block {
            cgroup
                .delegate(block.runner())
                .map_err(fail("failed to give the sandbox's cgroup to its PID 1"))?;
        }
        let log = self.run_launcher(new.name, stdin)?;
        let (process, init) =
            self.find_init(new.name).map_err(fail("failed to find the sandbox's PID 1"))?;
        Ok((process, init, log))
    }

    /// Reserves ids for the task's sandbox, unless an earlier launch has done so. The record has them
    /// before anything else does.
    fn claim_block(&self, id: &TaskId) -> io::Result<()> {
        match self.claim_free_block(id) {
            Err(error) if error.kind() == io::ErrorKind::QuotaExceeded && self.discard_stock() => {
                self.claim_free_block(id)
            }
            claimed => claimed,
        }
    }

    fn claim_free_block(&self, id: &TaskId) -> io::Result<()> {
        let (Some(blocks), Some(task)) = (&self.blocks, self.task(id)) else { return Ok(()) };
        let mut task = task.lock();
        if task.record.block.is_none() {
            let block = blocks.claim(id)?;
            task.record.block = Some(block);
            self.records.save(&task.record).inspect_err(|_| blocks.release(id, block))?;
        }
        Ok(())
    }

    /// Runs the launcher. Returns the read end of the pipe to which it and PID 1 write messages; when that is
    /// closed, PID 1 goes on without messages.
    fn run_launcher(&self, name: &TaskId, stdin: Stdio) -> Result<File, String> {
        let dir = self.dir(name);
        let failed = |error: io::Error| format!("failed to run the launcher: {error}");
        // What exceeds the capacity of the pipe is dropped, because nobody reads meanwhile.
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (log, output) = pipe_with(flags).map_err(|error| failed(error.into()))?;
        let mut log = File::from(log);
        let mut child = Command::new(&self.config.exe)
            .args(["runtime", "launch"])
            .arg(&dir)
            .env_clear()
            .env("PATH", crate::rootfs::SEARCH_PATH)
            .stdin(stdin)
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .spawn()
            .map_err(failed)?;
        let pidfd = Pid::from_child(&child);
        let pidfd = pidfd_open(pidfd, PidfdFlags::empty()).map_err(|error| failed(error.into()))?;
        if !readable_within(&pidfd, START_TIMEOUT) {
            // Removing the sandbox's cgroup kills everything that the launcher has started.
            child.kill().map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        if status.success() {
            Ok(log)
        } else {
            Err(format!("the launcher failed: {}", log_tail(&mut log)))
        }
    }

    fn find_init(&self, name: &TaskId) -> io::Result<(Process, Arc<OwnedFd>)> {
        let pid = fs::read_to_string(self.dir(name).join(PID_FILE))?;
        let pid = pid.trim().parse().map_err(io::Error::other)?;
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let process = Process::current(pid).ok_or_else(gone)?;
        let init = open_process(&process).ok_or_else(gone)?;
        Ok((process, init))
    }

    /// Waits until the runner's socket accepts a connection.
    pub(super) fn await_runner(
        &self,
        id: &TaskId,
        init: &OwnedFd,
        mut log: File,
    ) -> Result<(), String> {
        let socket = self.socket(id);
        let deadline = Instant::now() + START_TIMEOUT;
        let watch = self.socket_watches.watch(&socket);
        while UnixStream::connect(&socket).is_err() {
            if watch.wait(init, CONNECT_PAUSE) {
                return Err(format!("PID 1 ended right after its start: {}", log_tail(&mut log)));
            }
            if Instant::now() >= deadline {
                return Err(format!("PID 1 did not answer within {START_TIMEOUT:?}"));
            }
        }
        Ok(())
    }

    /// Handles the end of a task's PID 1.
    pub(super) fn exited(&self, id: &TaskId, code: Option<i32>) {
        let oom_killed = self.oom_kills(id) > 0;
        self.change(id, |task| {
            let facts = &mut task.record.facts;
            facts.exit_code = code;
            facts.oom_killed = oom_killed;
            facts.last_status = Status::Stopping;
            let reason = match (oom_killed, code) {
                (true, _) => {
                    "PID 1 ended, and the kernel killed processes of the sandbox for lack of memory"
                        .to_owned()
                }
                (false, Some(code)) => format!("PID 1 ended with {code}"),
                (false, None) => "PID 1 ended".to_owned(),
            };
            task.record.end(StopCode::EssentialContainerExited, &reason);
            task.init = None;
            true
        });
        self.pool.push(Work::Teardown(id.clone()));
    }
}

/// Describes an error of this action.
fn fail(what: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// A pidfd of this process; `None` if the process has ended.
pub(super) fn open_process(process: &Process) -> Option<Arc<OwnedFd>> {
    let pidfd = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    // Checked after opening the pidfd, because the pid may have been reused before.
    process.is_current().then(|| Arc::new(pidfd))
}

/// Whether the descriptor becomes readable within this time. A pidfd does when its process ends.
pub(super) fn readable_within(fd: &impl AsFd, time: Duration) -> bool {
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

/// The end of what the pipe contains.
fn log_tail(log: &mut File) -> String {
    let mut text = Vec::new();
    // Fails when the pipe is empty, with all before it read.
    let _ = log.read_to_end(&mut text);
    let start = text.len().saturating_sub(MAX_REASON_BYTES);
    let text = String::from_utf8_lossy(text.get(start..).unwrap_or_default());
    let text = text.trim();
    if text.is_empty() { "it printed nothing".to_owned() } else { text.to_owned() }
}
