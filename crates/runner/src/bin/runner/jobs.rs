//! All jobs of this shell: the running ones in memory, the ended ones in their directories.

use std::fs::File;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use runner::protocol::{Cause, Event, Exit, Start, Stream, Total, Usage};

use crate::capture::Scratch;
use crate::job::{Job, StopReason};
use crate::spawn::{self, SpawnError, Users};
use crate::store::Store;
use crate::sys::{self, Pid};

/// A job takes four of the 1024 descriptors that a process usually may open.
const MAX_RUNNING: usize = 96;

#[derive(Debug)]
pub(crate) struct Jobs {
    pub(crate) running: Vec<Job>,
    store: Store,
    scratch: Scratch,
    users: Users,
    shutting_down: bool,
}

/// A job's progress, for the connections that follow it.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The number of bytes kept so far of stdout and stderr.
    Running([u64; 2]),
    Ended(Exit),
}

impl Jobs {
    pub(crate) fn new(store: Store, users: Users) -> io::Result<Self> {
        let scratch = Scratch::new()?;
        Ok(Self { running: Vec::new(), store, scratch, users, shutting_down: false })
    }

    /// Runs the job unless its id was seen before. The job can be followed afterwards in both cases.
    ///
    /// # Errors
    /// The event to answer with, if nothing ran and the id is still unknown.
    pub(crate) fn start(&mut self, start: &Start) -> Result<(), Event> {
        check_id(&start.job_id)?;
        if self.store.seen(&start.job_id) {
            return Ok(());
        }
        if self.shutting_down {
            return Err(temporary("the shell is shutting down".to_owned()));
        }
        if self.running.len() >= MAX_RUNNING {
            return Err(temporary(format!("{MAX_RUNNING} jobs already run in this shell")));
        }
        if self.store.claim(&start.job_id).map_err(store_error)? {
            self.run_claimed(start).inspect_err(|_| self.store.forget(&start.job_id))?;
        }
        Ok(())
    }

    fn run_claimed(&mut self, start: &Start) -> Result<(), Event> {
        self.store.write_spec(start).map_err(store_error)?;
        let file = |stream| self.store.create_output(&start.job_id, stream).map_err(store_error);
        let files = [file(Stream::Stdout)?, file(Stream::Stderr)?];
        let cause = match spawn::spawn(start, self.users) {
            Ok(spawned) => {
                self.running.push(Job::new(start, spawned, files));
                return Ok(());
            }
            Err(SpawnError::Temporary(message)) => return Err(temporary(message)),
            Err(SpawnError::Invalid(message)) => Cause::SpawnFailed { message },
            Err(SpawnError::NotFound(message)) => Cause::NotFound { message },
        };
        self.store.record_exit(&start.job_id, &not_run(cause)).map_err(store_error)
    }

    pub(crate) fn cancel(&mut self, job_id: &str, now: Instant) -> Result<Event, Event> {
        check_id(job_id)?;
        if let Some(job) = self.find(job_id) {
            job.stop(StopReason::Cancel, now);
        } else if self.store.claim(job_id).map_err(store_error)? {
            let exit = not_run(Cause::Cancelled { ended: None });
            self.store.record_exit(job_id, &exit).map_err(store_error)?;
        }
        Ok(Event::Ok)
    }

    pub(crate) fn signal(&mut self, job_id: &str, signal: i32) -> Result<Event, Event> {
        self.known(job_id)?;
        let job = self.find(job_id).filter(|job| job.is_alive());
        let job = job.ok_or_else(|| refused("the job has ended"))?;
        // Signal 0 only checks whether the group exists.
        if signal < 1 {
            return Err(refused(format!("{signal} is not a signal number")));
        }
        sys::kill_group(job.pid, signal).map_err(|error| refused(error.to_string()))?;
        Ok(Event::Ok)
    }

    pub(crate) fn release(&mut self, job_id: &str) -> Result<Event, Event> {
        self.known(job_id)?;
        if self.find(job_id).is_some() {
            return Err(refused("the job still runs"));
        }
        self.store.release(job_id);
        Ok(Event::Ok)
    }

    /// # Errors
    /// `Unknown`, or `Error` if the text is not a valid job id.
    pub(crate) fn known(&self, job_id: &str) -> Result<(), Event> {
        check_id(job_id)?;
        if self.store.seen(job_id) { Ok(()) } else { Err(Event::Unknown) }
    }

    /// The progress of a known job.
    pub(crate) fn progress(&self, job_id: &str) -> Progress {
        match self.running.iter().find(|job| job.id == job_id) {
            Some(job) => Progress::Running([Stream::Stdout, Stream::Stderr].map(|s| job.kept(s))),
            None => {
                Progress::Ended(self.store.exit(job_id).unwrap_or_else(|| not_run(Cause::Lost)))
            }
        }
    }

    /// The file that keeps a stream of a known job; `None` if it was released.
    pub(crate) fn output(&self, job_id: &str, stream: Stream) -> Option<Rc<File>> {
        match self.running.iter().find(|job| job.id == job_id) {
            Some(job) => Some(job.streams[stream as usize].file()),
            None => self.store.open_output(job_id, stream).map(Rc::new),
        }
    }

    /// Reads output of the jobs whose entry in `ready` is true.
    pub(crate) fn drain(&mut self, ready: &[bool]) {
        let ready = self.running.iter_mut().zip(ready).filter(|(_, ready)| **ready);
        ready.for_each(|(job, _)| job.drain(&mut self.scratch));
    }

    /// Reaps every child that has ended: main processes of jobs, and orphans reparented to the runner.
    pub(crate) fn reap(&mut self, now: Instant) -> io::Result<()> {
        while let Some(pid) = sys::ended_child() {
            match self.find_alive(pid) {
                Some(job) => job.reap(now)?,
                None => drop(sys::reap(pid)?),
            }
        }
        Ok(())
    }

    /// Enforces deadlines, and records the exits of jobs whose output is complete.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.running.iter_mut().for_each(|job| job.enforce(now));
        self.running.retain(|job| {
            let Some(exit) = job.exit(now) else { return true };
            // The file is reserved. If writing fails all the same, the job is reported as lost.
            let _ = self.store.record_exit(&job.id, &exit);
            false
        });
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.running.iter().filter_map(Job::due).min()
    }

    pub(crate) fn shut_down(&mut self, now: Instant) {
        self.shutting_down = true;
        self.running.iter_mut().for_each(|job| job.stop(StopReason::Shutdown, now));
    }

    fn find(&mut self, job_id: &str) -> Option<&mut Job> {
        self.running.iter_mut().find(|job| job.id == job_id)
    }

    fn find_alive(&mut self, pid: Pid) -> Option<&mut Job> {
        self.running.iter_mut().find(|job| job.pid == pid && job.is_alive())
    }
}

/// Checks that the id is safe as the name of a directory.
fn check_id(job_id: &str) -> Result<(), Event> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&job_id.len()) && job_id.bytes().all(plain) {
        Ok(())
    } else {
        Err(refused("not a job id: it must have 1 to 64 characters of A-Z a-z 0-9 _ -"))
    }
}

/// The exit of a job that did not run in this runner.
fn not_run(cause: Cause) -> Exit {
    let none = Total::default();
    Exit { cause, stdout: none, stderr: none, usage: Usage::default() }
}

fn refused(message: impl Into<String>) -> Event {
    Event::Error { message: message.into(), retryable: false }
}

fn temporary(message: String) -> Event {
    Event::Error { message, retryable: true }
}

fn store_error(error: io::Error) -> Event {
    temporary(format!("cannot write the job's directory: {error}"))
}
