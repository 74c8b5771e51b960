//! A command that runs in a shell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::iter;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use runner::protocol::{ShellUse, Start};

use super::directory::{CommandFiles, Directory};
use super::{INTERRUPTED, Identity, Shell};
use crate::cgroup::CgroupUsage;
use crate::members::Members;
use crate::processes::{self, ProcessId};
use crate::spawn::{Spawned, Stdio};
use crate::sys::{self, Pid};

/// The longest report of a command's end: an exit code and a line feed.
const MAX_REPORT_BYTES: usize = 4;

/// What is done to end a command, and how long after the step before.
const STEPS: [(Duration, Step); 4] = [
    (Duration::ZERO, Step::Interrupt),
    (Duration::from_secs(1), Step::Terminate),
    (Duration::from_secs(4), Step::Kill),
    (Duration::from_secs(1), Step::KillShell),
];

#[derive(Debug, Clone, Copy)]
enum Step {
    /// As Ctrl-C at a terminal.
    Interrupt,
    Terminate,
    Kill,
    /// The shell itself is busy and does not react.
    KillShell,
}

#[derive(Debug)]
pub(crate) struct ShellCommand {
    identity: Identity,
    is_new: bool,
    /// Whether the shell has ended.
    has_ended: bool,
    /// Removed when it is dropped.
    _files: CommandFiles,
    /// Where the shell reports the command's end; `None` once something else was read from it.
    end: Option<File>,
    report: Vec<u8>,
    writers: Vec<OwnedFd>,
    /// The processes of earlier commands.
    before: BTreeSet<ProcessId>,
    used_before: Used,
    /// Whether the peak of memory is that of this command.
    has_own_peak: bool,
    /// How many of the steps to end the command were done.
    steps: usize,
}

/// What a shell and its processes had used.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    cpu: Duration,
    oom_kills: u64,
}

impl ShellCommand {
    /// Starts the command in the shell.
    ///
    /// # Errors
    /// Nothing was started. The shell is given back; it is killed if it does not read its script.
    pub(crate) fn start(
        shell: Shell,
        is_new: bool,
        start: &Start,
        text: &str,
        directory: &Directory,
    ) -> Result<(Spawned, Self), Box<(Shell, io::Error)>> {
        let (files, pipes) = match directory.files(start, text) {
            Ok(made) => made,
            Err(error) => return Err(Box::new((shell, error))),
        };
        let Shell { identity, members } = shell;
        let used_before = Used::now(identity.main, &members);
        let before = members.pids().into_iter().filter_map(ProcessId::of).collect();
        let has_own_peak = members.reset_peak() || is_new;
        if let Err(error) = files.with_paths(start, |paths| identity.send(paths, start.merge)) {
            let shell = Shell { identity, members };
            shell.kill();
            return Err(Box::new((shell, error)));
        }
        let stdio = Stdio::Pipes { stdin: None, stdout: pipes.stdout, stderr: pipes.stderr };
        let spawned = Spawned { main: identity.main, members, stdio };
        let command = Self {
            identity,
            is_new,
            has_ended: false,
            _files: files,
            end: Some(pipes.end),
            report: Vec::new(),
            writers: pipes.writers,
            before,
            used_before,
            has_own_peak,
            steps: 0,
        };
        Ok((spawned, command))
    }

    pub(crate) fn name(&self) -> &str {
        &self.identity.name
    }

    /// Becomes readable when the command has ended.
    pub(crate) fn end(&self) -> Option<BorrowedFd<'_>> {
        self.end.as_ref().map(AsFd::as_fd)
    }

    /// The exit code that the shell has reported, if it has.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let mut bytes = [0; MAX_REPORT_BYTES + 1];
        if let Ok(count) = self.end.as_mut()?.read(&mut bytes) {
            self.report.extend_from_slice(&bytes[..count]);
        }
        if !self.report.ends_with(b"\n") && self.report.len() < MAX_REPORT_BYTES {
            return None;
        }
        let code = str::from_utf8(&self.report).ok().and_then(|text| text.trim_end().parse().ok());
        if let Some(code @ 0..=255) = code {
            self.identity.last_code = code;
            return Some(code);
        }
        // Another process has written to it. Who does that can't be told what the command's end is.
        self.end = None;
        sys::signal(self.identity.main, libc::SIGKILL);
        None
    }

    /// The command has ended: nothing else of this process keeps its pipes open.
    pub(crate) fn close(&mut self) {
        self.end = None;
        self.writers.clear();
    }

    /// Notes that the shell has ended.
    pub(crate) fn shell_ended(&mut self) {
        self.has_ended = true;
    }

    pub(crate) fn shell_use(&self) -> ShellUse {
        ShellUse { is_new: self.is_new, has_ended: self.has_ended }
    }

    /// Sends a signal to the command. Only SIGINT, which the shell survives, is sent to the shell as well, unless
    /// the shell is all that the command has.
    pub(crate) fn signal(&mut self, members: &Members, signal: libc::c_int) {
        if signal == libc::SIGINT || self.pids(members).is_empty() {
            sys::signal(self.identity.main, signal);
        }
        // Listed after the signal to the shell: it waits for a process that it has started just before.
        self.pids(members).into_iter().for_each(|pid| sys::signal(pid, signal));
    }

    /// Does the next step to end the command. Returns the time until the one after that.
    pub(crate) fn stop(&mut self, members: &Members) -> Option<Duration> {
        if let Some((_, step)) = STEPS.get(self.steps) {
            self.steps += 1;
            let pids = self.pids(members);
            let (shell, others) = match step {
                Step::Interrupt => (libc::SIGINT, libc::SIGINT),
                Step::Terminate => (libc::SIGINT, libc::SIGTERM),
                Step::Kill => (libc::SIGINT, libc::SIGKILL),
                Step::KillShell => (libc::SIGKILL, libc::SIGKILL),
            };
            // The shell first, so that it does not go on with what follows a process that has ended.
            sys::signal(self.identity.main, shell);
            pids.into_iter().for_each(|pid| sys::signal(pid, others));
        }
        STEPS.get(self.steps).map(|(after, _)| *after)
    }

    /// Whether nothing of the command has to be waited for. What a command leaves running stays, but what a
    /// stopped one leaves is killed. If that does not succeed until it `is_late`, the shell ends with it.
    pub(crate) fn is_over(&mut self, members: &Members, is_late: bool) -> bool {
        let left = if self.is_stopped() { self.pids(members) } else { Vec::new() };
        if left.is_empty() {
            return true;
        }
        if is_late {
            members.kill();
            self.has_ended = true;
        } else {
            left.into_iter().for_each(|pid| sys::signal(pid, libc::SIGKILL));
        }
        false
    }

    /// Whether the command was ended by this process.
    pub(crate) fn is_stopped(&self) -> bool {
        self.steps > 0
    }

    /// What the command has used, if its shell has used `total`, the processor time of a process that was
    /// reaped.
    pub(crate) fn usage(&self, members: &Members, total: Option<Duration>) -> CgroupUsage {
        let now = Used::now(self.identity.main, members);
        let cpu = members.usage().cpu.or(total).unwrap_or(now.cpu);
        CgroupUsage {
            cpu: Some(cpu.saturating_sub(self.used_before.cpu)),
            memory_peak_bytes: members.usage().memory_peak_bytes.filter(|_| self.has_own_peak),
            oom_kills: members
                .usage()
                .oom_kills
                .map(|kills| kills.saturating_sub(self.used_before.oom_kills)),
        }
    }

    /// Number of processes that the command has left running.
    pub(crate) fn leftover(&self, members: &Members) -> u32 {
        u32::try_from(self.pids(members).len()).unwrap_or(u32::MAX)
    }

    /// The processes that the command has started, without the shell. What a process of an earlier command
    /// starts meanwhile belongs to that one, as long as its parent lives.
    pub(crate) fn processes(&self, members: &Members) -> BTreeSet<ProcessId> {
        let pids = members.pids().into_iter().filter(|pid| *pid != self.identity.main);
        let all: BTreeMap<Pid, (ProcessId, Pid)> =
            pids.filter_map(|pid| Some((pid, ProcessId::with_parent(pid)?))).collect();
        let is_earlier = |pid: Pid| {
            let mut line = iter::successors(all.get(&pid), |(_, parent)| all.get(parent));
            line.any(|(process, _)| self.before.contains(process))
        };
        let own = all.iter().filter(|(pid, _)| !is_earlier(**pid));
        own.map(|(_, (process, _))| *process).collect()
    }

    fn pids(&self, members: &Members) -> Vec<Pid> {
        self.processes(members).into_iter().map(|process| process.pid).collect()
    }

    /// The shell after the command, unless it has ended.
    pub(crate) fn into_shell(mut self, members: Members) -> Result<Shell, Members> {
        if self.has_ended {
            return Err(members);
        }
        if self.is_stopped() {
            self.identity.last_code = INTERRUPTED;
        }
        Ok(Shell { identity: self.identity, members })
    }
}

impl Used {
    fn now(main: Pid, members: &Members) -> Self {
        let usage = members.usage();
        let cpu = usage.cpu.or_else(|| processes::cpu_with_children(main)).unwrap_or_default();
        Self { cpu, oom_kills: usage.oom_kills.unwrap_or(0) }
    }
}
