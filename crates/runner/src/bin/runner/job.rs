//! A running job, and how its end is reported.
//!
//! A job ends when its main process ends. Its other processes are killed then, unless the job allows
//! background processes. Everything that was written to its pipes before the end is kept.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use runner::protocol::{Cause, Ended, Exit, Start, Stream, Total, Usage};

use crate::capture::{Capture, Scratch};
use crate::input::Input;
use crate::members::Members;
use crate::recording::Recording;
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
    pub(crate) members: Members,
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

impl Job {
    /// The job of a command that was just spawned.
    pub(crate) fn new(start: &Start, spawned: Spawned, files: [File; 2]) -> Self {
        let limit = start.max_output_bytes;
        let [stdout, stderr] = files;
        let started = Instant::now();
        let deadline = started.checked_add(Duration::from_millis(start.timeout_ms));
        let (mut recording, mut header) = (None, Vec::new());
        let (mut streams, input, terminal) = match spawned.stdio {
            Stdio::Pipes { stdin, stdout: out, stderr: err } => {
                let capture = |pipe, file| Capture::new(pipe, file, limit, start.keep);
                let stderr = match err {
                    Some(err) => capture(err, stderr),
                    None => Capture::none(stderr),
                };
                ([capture(out, stdout), stderr], stdin, None)
            }
            Stdio::Terminal { terminal, output } => {
                let output = Capture::of_terminal(output, stdout, limit);
                let begun = Recording::begin(start, started);
                let recorded = start.terminal.and_then(|terminal| terminal.record_bytes);
                if let Some((begun, line)) = begun {
                    (recording, header) = (Some(begun), line);
                }
                let second = Capture::without_pipe(stderr, recorded.unwrap_or(0));
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
            members: spawned.members,
            background: start.background,
            started,
            phase: Phase::Running { deadline },
        }
    }

    /// Whether the main process was not reaped yet, so that its process group may be signalled.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Ended { .. })
    }

    /// Sends a signal to the process group of the main process.
    pub(crate) fn signal(&self, signal: libc::c_int) -> io::Result<()> {
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

    /// Reads the supervisor's report, if there is one.
    pub(crate) fn check_report(&mut self, now: Instant) {
        if let Some(report) = self.reporter().and_then(Members::report) {
            self.end(report.exit, report.leftover, now);
        }
    }

    /// Sends SIGTERM, unless the job is already being stopped or has ended.
    pub(crate) fn stop(&mut self, reason: StopReason, now: Instant) {
        if matches!(self.phase, Phase::Running { .. }) {
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
        }
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
                *kill_at = None;
                self.members.kill();
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

    /// The main process has ended.
    fn end(&mut self, main: ChildExit, leftover: u32, now: Instant) {
        let members = self.members.usage();
        let usage = Usage {
            wall_ms: milliseconds(now - self.started),
            cpu_ms: milliseconds(members.cpu.unwrap_or(main.cpu)),
            max_rss_bytes: main.max_rss_bytes,
            memory_peak_bytes: members.memory_peak_bytes,
            oom_kills: members.oom_kills,
        };
        let keeps = self.background && leftover > 0;
        let exit = Exit {
            cause: self.cause(main.ended, members.oom_kills.unwrap_or(0)),
            stdout: Total::default(),
            stderr: Total::default(),
            usage,
            leftover,
            background: if keeps { self.members.describe(MAX_LISTED) } else { Vec::new() },
        };
        self.input = None;
        self.streams.iter_mut().for_each(Capture::finish);
        let wait_until = now + KILL_TIMEOUT;
        self.phase = Phase::Ended { exit: Box::new(exit), is_empty: false, wait_until };
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
    }

    /// The job's exit, once its output is complete and its processes have ended.
    pub(crate) fn exit(&self, now: Instant) -> Option<Exit> {
        let Phase::Ended { exit, is_empty, wait_until } = &self.phase else { return None };
        let is_done = *is_empty || self.background || now >= *wait_until;
        if !is_done || !self.is_captured() {
            return None;
        }
        let [stdout, stderr] = self.streams.each_ref().map(Capture::total);
        Some(Exit { stdout, stderr, ..(**exit).clone() })
    }

    /// What is left of a job whose exit was recorded: its background processes, or only what they were
    /// found by.
    pub(crate) fn into_rest(self) -> Result<Background, Members> {
        if matches!(self.phase, Phase::Ended { is_empty: true, .. }) {
            return Err(self.members);
        }
        let pipes = self.streams.into_iter().filter_map(Capture::into_held_pipe).collect();
        Ok(Background { job_id: self.id, members: self.members, pipes })
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
