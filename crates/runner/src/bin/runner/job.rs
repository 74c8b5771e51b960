//! A job while it runs, and what its end means.
//!
//! A job ends when its main process does. What is left of its process group is killed then, and
//! what its pipes still hold is kept. A process that made a session of its own outlives the job,
//! until the shell ends; the job waits for such a holder of its pipes no longer than [`DRAIN`].

use std::io;
use std::time::{Duration, Instant};

use runner::protocol::{Cause, Ended, Exit, Start, Stream, Usage};

use crate::capture::{Capture, Scratch};
use crate::oom;
use crate::spawn::Spawned;
use crate::sys::{self, Pid, Reaped};

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// From the end of the main process until its output is taken as complete.
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
    /// `None`: a deadline too far away to be told.
    Running {
        deadline: Option<Instant>,
    },
    /// SIGTERM was sent, and SIGKILL follows, once.
    Stopping {
        why: Why,
        kill_at: Option<Instant>,
    },
    Ended {
        cause: Cause,
        usage: Usage,
        drain_until: Instant,
    },
}

/// Why the runner itself ends a job.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Why {
    Timeout,
    Cancel,
    Shutdown,
}

impl Job {
    /// Takes over a command that has just been spawned.
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

    /// Whether its main process has not been reaped, so that its group may be signalled.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Ended { .. })
    }

    pub(crate) fn kept(&self, stream: Stream) -> u64 {
        self.streams[stream as usize].total().kept
    }

    pub(crate) fn drain(&mut self, scratch: &mut Scratch) {
        self.streams.iter_mut().for_each(|stream| stream.drain(scratch));
    }

    /// Begins to end it, for the first reason given.
    pub(crate) fn stop(&mut self, why: Why, now: Instant) {
        if matches!(self.phase, Phase::Running { .. }) {
            // Fails only if all of the group are zombies, and then they are reaped next.
            let _ = sys::kill_group(self.pid, libc::SIGTERM);
            self.phase = Phase::Stopping { why, kill_at: Some(now + GRACE) };
        }
    }

    /// When it wants to be looked at again.
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
                self.stop(Why::Timeout, now);
            }
            Phase::Stopping { kill_at, .. } if kill_at.is_some_and(|at| at <= now) => {
                *kill_at = None;
                // As above.
                let _ = sys::kill_group(self.pid, libc::SIGKILL);
            }
            Phase::Running { .. } | Phase::Stopping { .. } | Phase::Ended { .. } => {}
        }
    }

    /// Its main process is a zombie: kills the rest of the group, while the zombie still keeps the
    /// group's number from being reused, and takes it away.
    pub(crate) fn reap(&mut self, now: Instant) -> io::Result<()> {
        // Fails if nothing is left but the zombie.
        let _ = sys::kill_group(self.pid, libc::SIGKILL);
        let reaped = sys::reap(self.pid)?;
        let usage = Usage {
            wall_ms: milliseconds(now - self.started),
            cpu_ms: milliseconds(reaped.cpu),
            max_rss_bytes: reaped.max_rss_bytes,
        };
        self.phase = Phase::Ended { cause: self.cause(reaped), usage, drain_until: now + DRAIN };
        Ok(())
    }

    fn cause(&self, Reaped { ended, .. }: Reaped) -> Cause {
        if let Phase::Stopping { why, .. } = self.phase {
            return match why {
                Why::Timeout => Cause::TimedOut { ended },
                Why::Cancel => Cause::Cancelled { ended: Some(ended) },
                Why::Shutdown => Cause::Interrupted { ended },
            };
        }
        // A shell whose command was killed passes it on as 128 + SIGKILL.
        let killed = matches!(ended, Ended::Signal(libc::SIGKILL) | Ended::Code(137));
        if killed && oom::kills() > self.oom_kills {
            return Cause::OomKilled;
        }
        match ended {
            Ended::Code(code) => Cause::Exited { code },
            Ended::Signal(signal) => Cause::Signalled { signal },
        }
    }

    /// Its exit, once its output is complete.
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
