//! A running job, and how its end is reported.
//!
//! A job ends when its main process ends. Its other processes are killed then, unless the job allows
//! background processes. Everything that was written to its pipes before the end is kept.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use runner::protocol::marks::MAX_MARK_BYTES;
use runner::protocol::{Cause, Ended, Exit, Keep, Process, Start, Stream, Total, Usage};

use crate::capture::{Capture, Scratch};
use crate::cgroup::CgroupUsage;
use crate::input::Input;
use crate::members::Members;
use crate::merged::MergedPipes;
use crate::recording::Recording;
use crate::shell::{Shell, ShellCommand};
use crate::spawn::{Spawned, Stdio};
use crate::sys::{self, ChildExit, Pid};
use crate::terminal::Terminal;

/// Time from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// The same at a shutdown. It is shorter than the time that the server (5 s) and ECS (30 s) wait before
/// they kill the runner, so that the runner can report how the job ended.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// Longest time that a job's end waits for the processes that were killed with it.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two checks whether they have ended. Most often SIGCHLD comes first.
const KILL_CHECK: Duration = Duration::from_millis(5);
/// Largest number of background processes that are described in an exit.
const MAX_LISTED: usize = 16;

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    /// The main process, which leads its process group.
    main: Pid,
    pub(crate) streams: [Capture; 2],
    pub(crate) input: Option<Input>,
    pub(crate) terminal: Option<Terminal>,
    /// What writes the second stream of a recorded terminal.
    recording: Option<Recording>,
    /// What writes both streams of a command whose output is merged: the output, and its marks.
    pub(crate) merged: Option<MergedPipes>,
    pub(crate) members: Members,
    /// For a job that runs in a shell: the main process is that shell.
    pub(crate) shell: Option<ShellCommand>,
    background: bool,
    started: Instant,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// A deadline of `None` is beyond the range of the clock.
    Running { deadline: Option<Instant> },
    /// SIGTERM was sent; SIGKILL follows once, at `kill_at`.
    Stopping { reason: StopReason, kill_at: Option<Instant> },
    /// The main process has ended. The totals of the exit are set last.
    Ended { exit: Box<Exit>, is_empty: bool, wait_until: Instant },
}

/// Why the runner ends a job.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StopReason {
    Timeout,
    Cancel,
    Shutdown,
}

/// What is left of a job that has ended: its background processes.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) job_id: String,
    pub(crate) members: Members,
    /// The read ends of the job's pipes. Closing them would kill a process that writes to them.
    pub(crate) pipes: Vec<OwnedFd>,
}

/// What is left of a job whose exit was recorded.
#[derive(Debug)]
pub(crate) enum Rest {
    /// Only what its processes were found by.
    Nothing(Members),
    Background(Background),
    /// The shell in which it has run, and what it leaves there.
    Shell(Shell, Background),
}

impl Background {
    /// Whether nothing of the job is left. What processes of a command in a shell have started later belongs to
    /// the shell, and may still write to the pipes.
    pub(crate) fn is_over(&self) -> bool {
        let may_write = matches!(self.members, Members::Noted(_)) && !self.pipes.is_empty();
        !may_write && self.members.is_empty()
    }
}

impl Job {
    /// The job of a command that was just spawned.
    pub(crate) fn new(start: &Start, spawned: Spawned, files: [File; 2]) -> Self {
        let limit = start.max_output_bytes;
        let [stdout, stderr] = files;
        let started = Instant::now();
        let deadline = started.checked_add(Duration::from_millis(start.timeout_ms));
        let (mut recording, mut header, mut merged) = (None, Vec::new(), None);
        let (mut streams, input, terminal) = match spawned.stdio {
            Stdio::Pipes { stdin, stdout: out, stderr: err } => {
                let capture = |pipe, file| Capture::new(pipe, file, limit, start.keep);
                let stderr = match err {
                    Some(err) => capture(err, stderr),
                    None => Capture::none(stderr),
                };
                ([capture(out, stdout), stderr], stdin, None)
            }
            Stdio::Merged { stdin, pipes } => {
                merged = Some(pipes);
                let output = Capture::without_pipe(stdout, limit, start.keep);
                let marks = Capture::without_pipe(stderr, MAX_MARK_BYTES, Keep::Head);
                ([output, marks], stdin, None)
            }
            Stdio::Terminal { terminal, output } => {
                let output = Capture::of_terminal(output, stdout, limit);
                let begun = Recording::begin(start, started);
                let recorded = start.terminal.and_then(|terminal| terminal.record_bytes);
                if let Some((begun, line)) = begun {
                    (recording, header) = (Some(begun), line);
                }
                let second = Capture::without_pipe(stderr, recorded.unwrap_or(0), Keep::Head);
                ([output, second], None, Some(terminal))
            }
        };
        streams[1].append(&header);
        Self {
            id: start.job_id.clone(),
            main: spawned.main,
            streams,
            input,
            terminal,
            recording,
            merged,
            members: spawned.members,
            shell: None,
            background: start.background,
            started,
            phase: Phase::Running { deadline },
        }
    }

    /// The job of a command that was just started in a shell.
    pub(crate) fn in_shell(
        start: &Start,
        spawned: Spawned,
        command: ShellCommand,
        files: [File; 2],
    ) -> Self {
        Self { shell: Some(command), background: true, ..Self::new(start, spawned, files) }
    }

    /// Whether the main process was not reaped yet, so that its process group may be signalled.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Ended { .. })
    }

    /// Sends a signal to the process group of the main process, or to the command in a shell.
    pub(crate) fn signal(&mut self, signal: libc::c_int) -> io::Result<()> {
        if let Some(command) = &mut self.shell {
            command.signal(&self.members, signal);
            return Ok(());
        }
        sys::kill_group(self.main, signal)
    }

    /// The part of the stream that is kept whatever follows.
    pub(crate) fn settled(&self, stream: Stream) -> Total {
        let kept = self.streams[stream as usize].settled();
        Total { bytes: kept, kept, tail: 0 }
    }

    /// Everything that is kept of the stream now.
    pub(crate) fn kept(&self, stream: Stream) -> Total {
        self.streams[stream as usize].total()
    }

    /// The members, if the end of the main process is reported by a descriptor.
    pub(crate) fn reporter(&self) -> Option<&Members> {
        Some(&self.members).filter(|_| self.is_alive())
    }

    /// Moves input and output, and notices the end of the main process.
    pub(crate) fn transfer(&mut self, scratch: &mut Scratch, now: Instant) {
        self.input = self.input.take().and_then(Input::feed);
        self.terminal.iter_mut().for_each(Terminal::feed);
        let [stdout, stderr] = &mut self.streams;
        if let Some(merged) = &mut self.merged {
            merged.drain(scratch, stdout, stderr);
        }
        let shown = stdout.drain(scratch);
        match &mut self.recording {
            Some(recording) if !shown.is_empty() => stderr.append(&recording.output(shown, now)),
            Some(_) => {}
            None => drop(stderr.drain(scratch)),
        }
        self.check_report(now);
    }

    /// Changes the size of the job's terminal, if it has one.
    pub(crate) fn resize(&mut self, cols: u16, rows: u16, now: Instant) -> io::Result<()> {
        let Some(terminal) = &self.terminal else { return Ok(()) };
        terminal.resize(cols, rows)?;
        if let Some(recording) = &mut self.recording {
            self.streams[1].append(&recording.resize(cols, rows, now));
        }
        Ok(())
    }

    /// Reads the report of the shell, and that of the supervisor, if there is one.
    pub(crate) fn check_report(&mut self, now: Instant) {
        if self.is_alive()
            && let Some(code) = self.shell.as_mut().and_then(ShellCommand::exit_code)
        {
            self.end_in_shell(code, now);
        }
        if let Some(report) = self.reporter().and_then(Members::report) {
            self.end(report.exit, report.leftover, now);
        }
    }

    /// Sends SIGTERM, unless the job is already being stopped or has ended.
    pub(crate) fn stop(&mut self, reason: StopReason, now: Instant) {
        if let Some(command) =
            self.shell.as_mut().filter(|_| !matches!(reason, StopReason::Shutdown))
        {
            if matches!(self.phase, Phase::Running { .. }) {
                let kill_at = command.stop(&self.members).map(|after| now + after);
                self.phase = Phase::Stopping { reason, kill_at };
            }
        } else if matches!(self.phase, Phase::Running { .. }) {
            if self.terminal.is_some() {
                // An interactive shell ignores SIGTERM, and ends at this signal as if its window had
                // been closed.
                self.members.signal(libc::SIGHUP);
                self.members.signal(libc::SIGCONT);
            }
            self.members.signal(libc::SIGTERM);
            let grace = match reason {
                StopReason::Timeout | StopReason::Cancel => GRACE,
                StopReason::Shutdown => SHUTDOWN_GRACE,
            };
            self.phase = Phase::Stopping { reason, kill_at: Some(now + grace) };
        } else if let (Phase::Stopping { kill_at: Some(at), .. }, StopReason::Shutdown) =
            (&mut self.phase, reason)
        {
            *at = (*at).min(now + SHUTDOWN_GRACE);
            if self.shell.is_some() {
                self.members.signal(libc::SIGTERM);
            }
        }
    }

    /// Whether [`Job::transfer`] must be called now, whatever the job's descriptors are ready for.
    pub(crate) fn must_transfer(&self) -> bool {
        !self.is_alive() || self.merged.as_ref().is_some_and(MergedPipes::has_more)
    }

    /// When `enforce` or `exit` must be called next.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Running { deadline } => {
                let detached = self.terminal.as_ref().and_then(Terminal::deadline);
                deadline.into_iter().chain(detached).min()
            }
            Phase::Stopping { kill_at, .. } => kill_at,
            Phase::Ended { .. } if !self.is_captured() => Some(now),
            Phase::Ended { .. } => Some(now + KILL_CHECK),
        }
    }

    pub(crate) fn enforce(&mut self, now: Instant) {
        let is_due = self.due(now).is_some_and(|due| due <= now);
        match &mut self.phase {
            Phase::Running { .. } if is_due => self.stop(StopReason::Timeout, now),
            Phase::Stopping { kill_at, .. } if kill_at.is_some_and(|at| at <= now) => {
                *kill_at = match &mut self.shell {
                    Some(command) if command.is_stopped() => {
                        command.stop(&self.members).map(|after| now + after)
                    }
                    Some(_) | None => {
                        self.members.kill();
                        None
                    }
                }
            }
            Phase::Ended { is_empty: is_empty @ false, wait_until, .. } if self.shell.is_some() => {
                let is_late = now >= *wait_until;
                let command = self.shell.as_mut();
                *is_empty = command.is_none_or(|command| command.is_over(&self.members, is_late));
            }
            Phase::Ended { is_empty: is_empty @ false, .. } => {
                *is_empty = self.members.is_empty();
                if !*is_empty && !self.background {
                    // A process may have forked while the others were killed.
                    self.members.kill();
                }
            }
            Phase::Running { .. } | Phase::Stopping { .. } | Phase::Ended { .. } => {}
        }
    }

    /// Handles the end of a child of the runner. Returns false if it is not a process of this job.
    pub(crate) fn reap(&mut self, pid: Pid, now: Instant) -> io::Result<bool> {
        if let Some(command) = self.shell.as_mut().filter(|_| pid == self.main) {
            // The command may have ended before its shell.
            if let Phase::Running { .. } | Phase::Stopping { .. } = self.phase
                && let Some(code) = command.exit_code()
            {
                self.end_in_shell(code, now);
            }
            self.shell.iter_mut().for_each(ShellCommand::shell_ended);
            if !self.is_alive() {
                sys::reap(pid)?;
                return Ok(true);
            }
        }
        if pid == self.main && self.is_alive() && self.members.pipe().is_none() {
            // The zombie still reserves the pid while its cgroup is counted and killed.
            let leftover = self.members.leftover();
            if leftover > 0 && !self.background {
                self.members.kill();
            }
            self.end(sys::reap(pid)?, leftover, now);
            return Ok(true);
        }
        if !self.members.reaped(pid) {
            return Ok(false);
        }
        self.check_report(now);
        sys::reap(pid)?;
        if self.is_alive() {
            // The supervisor was killed without a report, so how the main process ends is unknown.
            let _ = sys::kill_group(self.main, libc::SIGKILL);
            let ended = Ended::Signal(libc::SIGKILL);
            self.end(ChildExit { ended, cpu: Duration::ZERO, max_rss_bytes: 0 }, 0, now);
        }
        Ok(true)
    }

    /// The shell has reported the end of its command.
    fn end_in_shell(&mut self, code: i32, now: Instant) {
        let command = self.shell.as_ref();
        let leftover = command.map_or(0, |command| command.leftover(&self.members));
        self.finish(Ended::Code(code), None, leftover, now);
    }

    /// The main process has ended.
    fn end(&mut self, main: ChildExit, leftover: u32, now: Instant) {
        self.shell.iter_mut().for_each(ShellCommand::shell_ended);
        let in_shell = self.shell.as_ref().map(|command| command.leftover(&self.members));
        let leftover = in_shell.unwrap_or(leftover);
        self.finish(main.ended, Some(&main), leftover, now);
    }

    /// The command has ended, and with it its main process, unless that is a shell.
    fn finish(&mut self, ended: Ended, main: Option<&ChildExit>, leftover: u32, now: Instant) {
        let members = self.used(main.map(|main| main.cpu));
        let usage = Usage {
            wall_ms: milliseconds(now - self.started),
            cpu_ms: milliseconds(members.cpu.unwrap_or_default()),
            // The largest process of the whole life of a shell is not that of its command.
            max_rss_bytes: main
                .filter(|_| self.shell.is_none())
                .map_or(0, |main| main.max_rss_bytes),
            memory_peak_bytes: members.memory_peak_bytes,
            oom_kills: members.oom_kills,
        };
        let keeps = self.background && leftover > 0;
        let exit = Exit {
            cause: self.cause(ended, members.oom_kills.unwrap_or(0)),
            stdout: Total::default(),
            stderr: Total::default(),
            usage,
            leftover,
            background: if keeps { self.describe_left() } else { Vec::new() },
            shell: None,
        };
        self.input = None;
        self.shell.iter_mut().for_each(ShellCommand::close);
        self.streams.iter_mut().for_each(Capture::finish);
        self.merged.iter_mut().for_each(MergedPipes::finish);
        let wait_until = now + KILL_TIMEOUT;
        self.phase = Phase::Ended { exit: Box::new(exit), is_empty: false, wait_until };
    }

    /// What the command has used; `main` is the processor time of its main process, if that was reaped.
    fn used(&self, main: Option<Duration>) -> CgroupUsage {
        match &self.shell {
            Some(command) => command.usage(&self.members, main),
            None => {
                let used = self.members.usage();
                CgroupUsage { cpu: used.cpu.or(main), ..used }
            }
        }
    }

    /// Describes the first of the processes that the command leaves running.
    fn describe_left(&self) -> Vec<Process> {
        match &self.shell {
            Some(command) => Members::Noted(command.processes(&self.members)).describe(MAX_LISTED),
            None => self.members.describe(MAX_LISTED),
        }
    }

    fn cause(&self, ended: Ended, oom_kills: u64) -> Cause {
        if let Phase::Stopping { reason, .. } = self.phase {
            return match reason {
                StopReason::Timeout => Cause::TimedOut { ended },
                StopReason::Cancel => Cause::Cancelled { ended: Some(ended) },
                StopReason::Shutdown => Cause::Interrupted { ended },
            };
        }
        match ended {
            // A shell whose child was killed by SIGKILL exits with 128 + 9.
            Ended::Signal(libc::SIGKILL) | Ended::Code(137) if oom_kills > 0 => Cause::OomKilled,
            Ended::Code(code) => Cause::Exited { code },
            Ended::Signal(signal) => Cause::Signalled { signal },
        }
    }

    /// Whether all output was read that the job wrote before its end.
    fn is_captured(&self) -> bool {
        self.streams.iter().all(|stream| stream.pipe().is_none())
            && self.merged.as_ref().is_none_or(MergedPipes::is_over)
    }

    /// The job's exit, once its output is complete and its processes have ended.
    pub(crate) fn exit(&self, now: Instant) -> Option<Exit> {
        let Phase::Ended { exit, is_empty, wait_until } = &self.phase else { return None };
        let keeps = match &self.shell {
            Some(command) => !command.is_stopped(),
            None => self.background,
        };
        let is_done = *is_empty || keeps || now >= *wait_until;
        if !is_done || !self.is_captured() {
            return None;
        }
        let [stdout, stderr] = self.streams.each_ref().map(Capture::total);
        let shell = self.shell.as_ref().map(ShellCommand::shell_use);
        Some(Exit { stdout, stderr, shell, ..(**exit).clone() })
    }

    /// What is left of a job whose exit was recorded.
    pub(crate) fn into_rest(self) -> Rest {
        let held = self.streams.into_iter().filter_map(Capture::into_held_pipe);
        let pipes = held.chain(self.merged.into_iter().flat_map(MergedPipes::into_held)).collect();
        let is_empty = matches!(self.phase, Phase::Ended { is_empty: true, .. });
        let job_id = self.id;
        let Some(command) = self.shell else {
            return rest(Background { job_id, members: self.members, pipes }, is_empty);
        };
        let left = command.processes(&self.members);
        match command.into_shell(self.members) {
            Ok(shell) => {
                Rest::Shell(shell, Background { job_id, members: Members::Noted(left), pipes })
            }
            // A shell that has ended leaves the processes of earlier commands, too.
            Err(members) => {
                let is_empty = is_empty && members.is_empty();
                rest(Background { job_id, members, pipes }, is_empty)
            }
        }
    }
}

fn rest(background: Background, is_empty: bool) -> Rest {
    if is_empty { Rest::Nothing(background.members) } else { Rest::Background(background) }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
