//! All jobs of this shell: those that run, and by their directories those that ever did.

use std::fs::File;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use runner::protocol::{Cause, Event, Exit, Start, Stream, Total, Usage};

use crate::capture::Scratch;
use crate::job::{Job, Why};
use crate::spawn::{self, Refusal, Users};
use crate::store::Store;
use crate::sys::{self, Pid};

/// Each takes four descriptors, of the 1024 that a process may usually have.
const MAX_RUNNING: usize = 96;

#[derive(Debug)]
pub(crate) struct Jobs {
    pub(crate) running: Vec<Job>,
    store: Store,
    scratch: Scratch,
    users: Users,
    shutting_down: bool,
}

/// How far a job is, as a follower sees it.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The bytes kept so far, of stdout and stderr.
    Running([u64; 2]),
    Ended(Exit),
}

impl Jobs {
    pub(crate) fn new(store: Store, users: Users) -> io::Result<Self> {
        let scratch = Scratch::new()?;
        Ok(Self { running: Vec::new(), store, scratch, users, shutting_down: false })
    }

    /// Runs the job unless its id was seen; either way it can be followed afterwards.
    ///
    /// # Errors
    /// The event that says why it had no effect.
    pub(crate) fn start(&mut self, start: &Start) -> Result<(), Event> {
        check_id(&start.job_id)?;
        if self.store.seen(&start.job_id) {
            return Ok(());
        }
        if self.shutting_down {
            return Err(lacking("the shell is shutting down".to_owned()));
        }
        if self.running.len() >= MAX_RUNNING {
            return Err(lacking(format!("{MAX_RUNNING} jobs run already")));
        }
        if self.store.claim(&start.job_id).map_err(no_room)? {
            self.run_claimed(start).inspect_err(|_| self.store.forget(&start.job_id))?;
        }
        Ok(())
    }

    fn run_claimed(&mut self, start: &Start) -> Result<(), Event> {
        self.store.write_spec(start).map_err(no_room)?;
        let file = |stream| self.store.create_output(&start.job_id, stream).map_err(no_room);
        let files = [file(Stream::Stdout)?, file(Stream::Stderr)?];
        let cause = match spawn::spawn(start, self.users) {
            Ok(spawned) => {
                self.running.push(Job::new(start, spawned, files));
                return Ok(());
            }
            Err(Refusal::Now(message)) => return Err(lacking(message)),
            Err(Refusal::Never(message)) => Cause::SpawnFailed { message },
            Err(Refusal::NotFound(message)) => Cause::NotFound { message },
        };
        self.store.record_exit(&start.job_id, &at_once(cause)).map_err(no_room)
    }

    pub(crate) fn cancel(&mut self, job_id: &str, now: Instant) -> Result<Event, Event> {
        check_id(job_id)?;
        if let Some(job) = self.find(job_id) {
            job.stop(Why::Cancel, now);
        } else if self.store.claim(job_id).map_err(no_room)? {
            let never = at_once(Cause::Cancelled { ended: None });
            self.store.record_exit(job_id, &never).map_err(no_room)?;
        }
        Ok(Event::Ok)
    }

    pub(crate) fn signal(&mut self, job_id: &str, signal: i32) -> Result<Event, Event> {
        self.known(job_id)?;
        let job = self.find(job_id).filter(|job| job.is_alive());
        let job = job.ok_or_else(|| refused("the job has ended"))?;
        // Zero only asks whether the group is there, and is no signal.
        if signal < 1 {
            return Err(refused("no such signal"));
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
    /// `Unknown`, or `Error` for what is no job id.
    pub(crate) fn known(&self, job_id: &str) -> Result<(), Event> {
        check_id(job_id)?;
        if self.store.seen(job_id) { Ok(()) } else { Err(Event::Unknown) }
    }

    /// Of a known job.
    pub(crate) fn progress(&self, job_id: &str) -> Progress {
        match self.running.iter().find(|job| job.id == job_id) {
            Some(job) => Progress::Running([Stream::Stdout, Stream::Stderr].map(|s| job.kept(s))),
            None => {
                Progress::Ended(self.store.exit(job_id).unwrap_or_else(|| at_once(Cause::Lost)))
            }
        }
    }

    /// What a known job's stream is kept in; `None` if that is gone.
    pub(crate) fn output(&self, job_id: &str, stream: Stream) -> Option<Rc<File>> {
        match self.running.iter().find(|job| job.id == job_id) {
            Some(job) => Some(job.streams[stream as usize].file()),
            None => self.store.open_output(job_id, stream).map(Rc::new),
        }
    }

    /// Takes output from the jobs whose place in `ready` says so.
    pub(crate) fn drain(&mut self, ready: &[bool]) {
        let ready = self.running.iter_mut().zip(ready).filter(|(_, ready)| **ready);
        ready.for_each(|(job, _)| job.drain(&mut self.scratch));
    }

    /// Reaps every child that has ended: jobs, and orphans that became ours.
    pub(crate) fn reap(&mut self, now: Instant) -> io::Result<()> {
        while let Some(pid) = sys::ended_child() {
            match self.find_alive(pid) {
                Some(job) => job.reap(now)?,
                None => drop(sys::reap(pid)?),
            }
        }
        Ok(())
    }

    /// Deadlines, kills, and the end of those whose output is complete.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.running.iter_mut().for_each(|job| job.enforce(now));
        self.running.retain(|job| {
            let Some(exit) = job.exit(now) else { return true };
            // Its room is reserved. If even so it fails, everybody hears that the end is not known.
            let _ = self.store.record_exit(&job.id, &exit);
            false
        });
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.running.iter().filter_map(Job::due).min()
    }

    pub(crate) fn shut_down(&mut self, now: Instant) {
        self.shutting_down = true;
        self.running.iter_mut().for_each(|job| job.stop(Why::Shutdown, now));
    }

    fn find(&mut self, job_id: &str) -> Option<&mut Job> {
        self.running.iter_mut().find(|job| job.id == job_id)
    }

    fn find_alive(&mut self, pid: Pid) -> Option<&mut Job> {
        self.running.iter_mut().find(|job| job.pid == pid && job.is_alive())
    }
}

/// The id becomes the name of a directory.
fn check_id(job_id: &str) -> Result<(), Event> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&job_id.len()) && job_id.bytes().all(plain) {
        Ok(())
    } else {
        Err(refused("not a job id"))
    }
}

/// The exit of a job that this runner did not run.
fn at_once(cause: Cause) -> Exit {
    let none = Total::default();
    Exit { cause, stdout: none, stderr: none, usage: Usage::default() }
}

fn refused(message: impl Into<String>) -> Event {
    Event::Error { message: message.into(), retryable: false }
}

fn lacking(message: String) -> Event {
    Event::Error { message, retryable: true }
}

fn no_room(error: io::Error) -> Event {
    lacking(format!("cannot write the job's directory: {error}"))
}
