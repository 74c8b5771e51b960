//! A running job, and how its end is reported.
//!
//! A job ends when its main process ends. The rest of its process group is killed then, and what its
//! pipes still contain is kept. A process that has called setsid(2) outlives the job until the shell
//! ends; if such a process holds the job's pipes open, the job waits for at most [`DRAIN`].

use std::io;
use std::time::{Duration, Instant};

use runner::protocol::{Cause, Ended, Exit, Start, Stream, Usage};

use crate::capture::{Capture, Scratch};
use crate::oom;
use crate::spawn::Spawned;
use crate::sys::{self, ChildExit, Pid};

/// Time from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// Longest time that a job's output pipes are read after the end of its main process.
const DRAIN: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) pid: Pid,
    pub(crate) streams: [Capture; 2],
    started: Instant,
    phase: Phase,
    oom_kills: Option<u64>,
}

#[derive(Debug)]
enum Phase {
    /// A deadline of `None` is beyond the range of the clock.
    Running {
        deadline: Option<Instant>,
    },
    /// SIGTERM was sent; SIGKILL follows once, at `kill_at`.
    Stopping {
        reason: StopReason,
        kill_at: Option<Instant>,
    },
    Ended {
        cause: Cause,
        usage: Usage,
        drain_until: Instant,
    },
}

/// Why the runner ends a job.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StopReason {
    Timeout,
    Cancel,
    Shutdown,
}

impl Job {
    /// The job of a command that was just spawned.
    pub(crate) fn new(start: &Start, spawned: Spawned, files: [std::fs::File; 2]) -> Self {
        let cap = start.max_output_bytes;
        let [stdout, stderr] = files;
        let started = Instant::now();
        Self {
            id: start.job_id.clone(),
            pid: spawned.pid,
            streams: [
                Capture::new(spawned.stdout, stdout, cap),
                Capture::new(spawned.stderr, stderr, cap),
            ],
            started,
            phase: Phase::Running {
                deadline: started.checked_add(Duration::from_millis(start.timeout_ms)),
            },
            oom_kills: oom::kills(),
        }
    }

    /// Whether the main process was not reaped yet, so that its process group may be signalled.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Ended { .. })
    }

    pub(crate) fn kept(&self, stream: Stream) -> u64 {
        self.streams[stream as usize].total().kept
    }

    pub(crate) fn drain(&mut self, scratch: &mut Scratch) {
        self.streams.iter_mut().for_each(|stream| stream.drain(scratch));
    }

    /// Sends SIGTERM, unless the job is already being stopped or has ended.
    pub(crate) fn stop(&mut self, reason: StopReason, now: Instant) {
        if matches!(self.phase, Phase::Running { .. }) {
            // Fails only if all processes of the group are zombies, which are reaped next.
            let _ = sys::kill_group(self.pid, libc::SIGTERM);
            self.phase = Phase::Stopping { reason, kill_at: Some(now + GRACE) };
        }
    }

    /// When `enforce` or `exit` must be called next.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running { deadline } => deadline,
            Phase::Stopping { kill_at, .. } => kill_at,
            Phase::Ended { drain_until, .. } => Some(drain_until),
        }
    }

    pub(crate) fn enforce(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Running { deadline: Some(deadline) } if *deadline <= now => {
                self.stop(StopReason::Timeout, now);
            }
            Phase::Stopping { kill_at, .. } if kill_at.is_some_and(|at| at <= now) => {
                *kill_at = None;
                // Fails only if all processes of the group are zombies.
                let _ = sys::kill_group(self.pid, libc::SIGKILL);
            }
            Phase::Running { .. } | Phase::Stopping { .. } | Phase::Ended { .. } => {}
        }
    }

    /// Reaps the main process, which is a zombie. Kills the rest of its process group before that,
    /// because the zombie keeps the group's id from being reused.
    pub(crate) fn reap(&mut self, now: Instant) -> io::Result<()> {
        // Fails if only the zombie is left.
        let _ = sys::kill_group(self.pid, libc::SIGKILL);
        let exit = sys::reap(self.pid)?;
        let usage = Usage {
            wall_ms: milliseconds(now - self.started),
            cpu_ms: milliseconds(exit.cpu),
            max_rss_bytes: exit.max_rss_bytes,
        };
        self.phase = Phase::Ended { cause: self.cause(exit), usage, drain_until: now + DRAIN };
        Ok(())
    }

    fn cause(&self, ChildExit { ended, .. }: ChildExit) -> Cause {
        if let Phase::Stopping { reason, .. } = self.phase {
            return match reason {
                StopReason::Timeout => Cause::TimedOut { ended },
                StopReason::Cancel => Cause::Cancelled { ended: Some(ended) },
                StopReason::Shutdown => Cause::Interrupted { ended },
            };
        }
        // A shell whose child was killed by SIGKILL exits with 128 + 9.
        let killed = matches!(ended, Ended::Signal(libc::SIGKILL) | Ended::Code(137));
        if killed && oom::kills() > self.oom_kills {
            return Cause::OomKilled;
        }
        match ended {
            Ended::Code(code) => Cause::Exited { code },
            Ended::Signal(signal) => Cause::Signalled { signal },
        }
    }

    /// The job's exit, once its output is complete.
    pub(crate) fn exit(&self, now: Instant) -> Option<Exit> {
        let Phase::Ended { cause, usage, drain_until } = &self.phase else { return None };
        let open = self.streams.iter().any(|stream| stream.pipe().is_some());
        if open && now < *drain_until {
            return None;
        }
        let [stdout, stderr] = self.streams.each_ref().map(Capture::total);
        Some(Exit { cause: cause.clone(), stdout, stderr, usage: *usage })
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
