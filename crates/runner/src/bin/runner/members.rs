//! The processes of a job.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use runner::protocol::Process;

use crate::cgroup::{CgroupUsage, Cgroups, JobCgroup};
use crate::processes::{self, ProcessId};
use crate::supervisor::{Report, Supervisor};
use crate::sys::{self, Pid};

/// How the processes of a job are found.
#[derive(Debug)]
pub(crate) enum Members {
    Cgroup(JobCgroup),
    Supervisor(Supervisor),
    /// Those that a command in a shell has left running: other processes are found as members of the shell.
    Noted(BTreeSet<ProcessId>),
}

impl Members {
    /// All living processes of the job.
    pub(crate) fn pids(&self) -> BTreeSet<Pid> {
        match self {
            Self::Cgroup(cgroup) => cgroup.pids(),
            Self::Supervisor(supervisor) => {
                processes::descendants(supervisor.pid).into_iter().collect()
            }
            Self::Noted(noted) => noted
                .iter()
                .filter(|process| process.is_alive())
                .map(|process| process.pid)
                .collect(),
        }
    }

    /// Sends a signal to every process of the job.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        self.pids().into_iter().for_each(|pid| sys::signal(pid, signal));
    }

    pub(crate) fn kill(&self) {
        match self {
            Self::Cgroup(cgroup) => cgroup.kill(),
            // The supervisor kills what the main process leaves.
            Self::Supervisor(_) | Self::Noted(_) => self.signal(libc::SIGKILL),
        }
    }

    /// Number of processes besides the main process, which has ended but was not reaped yet.
    pub(crate) fn leftover(&self) -> u32 {
        let count = match self {
            // Only the main process is left.
            Self::Cgroup(cgroup) if cgroup.tasks().is_some_and(|tasks| tasks <= 1) => 0,
            Self::Cgroup(_) | Self::Supervisor(_) | Self::Noted(_) => self.pids().len(),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Describes the first of the processes, at most `limit`.
    pub(crate) fn describe(&self, limit: usize) -> Vec<Process> {
        self.pids().into_iter().filter_map(processes::describe).take(limit).collect()
    }

    pub(crate) fn usage(&self) -> CgroupUsage {
        match self {
            Self::Cgroup(cgroup) => cgroup.usage(),
            Self::Supervisor(_) | Self::Noted(_) => CgroupUsage::default(),
        }
    }

    /// Resets the peak of memory in [`Members::usage`]; false where that is impossible.
    pub(crate) fn reset_peak(&self) -> bool {
        matches!(self, Self::Cgroup(cgroup) if cgroup.reset_peak())
    }

    /// Whether no process of the job exists any more. A supervisor's are gone when it was reaped.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Cgroup(cgroup) => cgroup.is_empty(),
            Self::Supervisor(supervisor) => supervisor.ended,
            Self::Noted(noted) => !noted.iter().any(ProcessId::is_alive),
        }
    }

    /// Gives the cgroup of a job without processes back.
    pub(crate) fn release(self, cgroups: Option<&mut Cgroups>) {
        if let (Self::Cgroup(cgroup), Some(cgroups)) = (self, cgroups) {
            cgroups.take_back(cgroup);
        }
    }

    /// Notes that a child of the runner was reaped; true if that was the job's supervisor.
    pub(crate) fn reaped(&mut self, pid: Pid) -> bool {
        match self {
            Self::Supervisor(supervisor) if supervisor.pid == pid => {
                supervisor.ended = true;
                true
            }
            Self::Supervisor(_) | Self::Cgroup(_) | Self::Noted(_) => false,
        }
    }

    /// The end of the main process, if the supervisor has reported it.
    pub(crate) fn report(&self) -> Option<Report> {
        match self {
            Self::Cgroup(_) | Self::Noted(_) => None,
            Self::Supervisor(supervisor) => supervisor.report(),
        }
    }

    /// Whether the processes had a supervisor, which has ended.
    pub(crate) fn has_no_supervisor(&self) -> bool {
        matches!(self, Self::Supervisor(supervisor) if supervisor.ended)
    }

    /// Becomes readable when the main process has ended.
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Cgroup(_) | Self::Noted(_) => None,
            Self::Supervisor(supervisor) => Some(supervisor.pipe()),
        }
    }
}
