//! Keeps the processes of a job together where it can't have a cgroup, as on Fargate.
//!
//! A supervisor is a process between the runner and a job's main process. It is a subreaper, so that
//! orphans of the job become its children instead of the runner's: every process of the job is always
//! a descendant of its supervisor. It runs as root, so that commands can't signal it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::PipeFlags;
use serde::{Deserialize, Serialize};

use crate::processes;
use crate::sys::{self, ChildExit, Pid};

/// Longest time that a supervisor tries to kill what its job's main process has left running.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// More than an encoded [`Report`] has, and so few that a pipe transfers them at once.
const MAX_REPORT_BYTES: usize = 512;

/// A running supervisor.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) pid: Pid,
    /// Whether the runner has reaped the supervisor.
    pub(crate) ended: bool,
    report: OwnedFd,
}

/// The end of the main process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) exit: ChildExit,
    /// Number of descendants that the main process left running.
    pub(crate) leftover: u32,
}

/// Forks a supervisor that starts the main process by `fork_main`. When the main process has ended, the
/// supervisor kills its other descendants, or waits for their end if the job allows `background`
/// processes; then it exits.
///
/// Returns the supervisor and the pid of the main process.
pub(crate) fn spawn(
    fork_main: impl FnOnce() -> io::Result<Pid>,
    background: bool,
) -> io::Result<(Supervisor, Pid)> {
    let (report, child_report) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let pid = sys::fork()?;
    if pid == 0 {
        supervise(fork_main, &child_report, background);
        sys::exit_at_once();
    }
    drop(child_report);
    let mut main = [0; size_of::<Pid>()];
    File::from(report.try_clone()?).read_exact(&mut main)?;
    rustix::io::ioctl_fionbio(&report, true)?;
    match Pid::from_ne_bytes(main) {
        main if main > 0 => Ok((Supervisor { pid, ended: false, report }, main)),
        errno => {
            let _ = sys::reap(pid);
            Err(io::Error::from_raw_os_error(-errno))
        }
    }
}

impl Supervisor {
    /// Becomes readable when the main process has ended.
    pub(crate) fn pipe(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// The end of the main process, once; `None` while it runs, or if the supervisor was killed.
    pub(crate) fn report(&self) -> Option<Report> {
        let mut bytes = [0; MAX_REPORT_BYTES];
        let count = rustix::io::read(&self.report, &mut bytes).ok()?;
        serde_json::from_slice(bytes.get(..count)?).ok()
    }
}

/// The supervisor's life. This is a forked process: nothing of the runner's state is used or dropped.
fn supervise(fork_main: impl FnOnce() -> io::Result<Pid>, report: &OwnedFd, background: bool) {
    let own = rustix::process::getpid();
    let forked = match rustix::process::set_child_subreaper(Some(own)) {
        // gVisor of 2022 knows no subreaper but PID 1: what leaves the tree of a job's processes there
        // is the shell's and ends with it.
        Ok(()) | Err(rustix::io::Errno::INVAL) => fork_main(),
        Err(error) => Err(error.into()),
    };
    let main = forked.as_ref().map_or_else(|error| -error.raw_os_error().unwrap_or(1), |pid| *pid);
    // Inherited pipes would hide their end from other jobs and from the runner.
    let Ok(report) = sys::keep_only(report.as_raw_fd()) else { return };
    if rustix::io::write(report, &main.to_ne_bytes()).is_err() || main <= 0 {
        return;
    }
    let Ok(exit) = wait_for(main) else { return };
    let own = own.as_raw_nonzero().get();
    let left = processes::descendants(own);
    let leftover = u32::try_from(left.len()).unwrap_or(u32::MAX);
    let report_end = || {
        let bytes = serde_json::to_vec(&Report { exit, leftover }).unwrap_or_default();
        // Fails if the runner has ended.
        let _ = rustix::io::write(report, &bytes);
    };
    if background {
        report_end();
        // Returns when no child is left.
        while sys::wait_and_reap().is_ok() {}
    } else {
        kill_all(own);
        report_end();
    }
}

/// Waits for the end of the main process, and reaps orphans meanwhile. The main process stays a zombie,
/// so that its pid is not reused before the runner knows that it has ended.
fn wait_for(main: Pid) -> io::Result<ChildExit> {
    loop {
        match sys::wait_for_ended_child()? {
            pid if pid == main => return sys::peek(pid),
            orphan => drop(sys::reap(orphan)?),
        }
    }
}

/// Kills all descendants. A process may fork before it is killed, so this is repeated until none is left.
fn kill_all(root: Pid) {
    let deadline = Instant::now() + KILL_TIMEOUT;
    loop {
        let left = processes::descendants(root);
        if left.is_empty() || Instant::now() >= deadline {
            return;
        }
        left.into_iter().for_each(|pid| sys::signal(pid, libc::SIGKILL));
        thread::sleep(Duration::from_millis(1));
    }
}
