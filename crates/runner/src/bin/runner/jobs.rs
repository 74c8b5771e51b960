//! All jobs of this shell: the running ones in memory, the ended ones in their directories.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use runner::protocol::files::FileRequest;
use runner::protocol::processes::ProcessRequest;
use runner::protocol::{Cause, Event, Exit, Start, Stream, Total};

use crate::capture::{self, Scratch};
use crate::cgroup::Cgroups;
use crate::command_line;
use crate::files;
use crate::job::{Background, Job, Rest, StopReason};
use crate::members::Members;
use crate::processes;
use crate::shell::{Directory, Shell};
use crate::spawn::transfer::Transfer;
use crate::spawn::{self, Defaults, SpawnError};
use crate::store::Store;
use crate::sys;
use crate::terminal::Terminal;

mod shells;

/// A job takes up to six of the 1024 descriptors that a process usually may open, and one more while it reads merged
/// output.
const MAX_RUNNING: usize = runner::protocol::MAX_RUNNING;
const MAX_TRANSFERS: usize = runner::protocol::MAX_TRANSFERS;
/// Largest number of ended jobs whose background processes may still write to the job's pipes; each has
/// two of them. Beyond that the oldest pipes are closed.
const MAX_HELD: usize = 16;

#[derive(Debug)]
pub(crate) struct Jobs {
    pub(crate) running: Vec<Job>,
    /// Processes of ended jobs, the oldest first.
    pub(crate) background: Vec<Background>,
    /// Shells in which no command runs.
    shells: Vec<Shell>,
    /// Where shells find the files of their commands, once there was a shell.
    directory: Option<Directory>,
    /// Processes that read or change files, or list or signal processes, for a caller.
    transfers: Vec<Transfer>,
    store: Store,
    /// `None` where jobs can't have cgroups; they have supervisors then.
    cgroups: Option<Cgroups>,
    scratch: Scratch,
    defaults: Defaults,
    shutting_down: bool,
    /// Whether the last attempt to tidy failed. The next job's end allows another one.
    tidying_failed: bool,
}

/// A request had no effect.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// No job with this id was seen.
    Unknown,
    Failed {
        message: String,
        /// Whether the cause may be temporary.
        retryable: bool,
    },
}

impl From<RequestError> for Event {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Unknown => Self::Unknown,
            RequestError::Failed { message, retryable } => Self::Error { message, retryable },
        }
    }
}

/// What a connection receives of a running job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The output that is kept whatever follows.
    Job,
    /// The output of the job's terminal as it comes.
    Terminal,
}

/// A job's progress, for the connections that follow it.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The part of stdout and stderr that can be sent while the job runs.
    Running([Total; 2]),
    Ended(Exit),
}

impl Jobs {
    pub(crate) fn new(
        store: Store,
        defaults: Defaults,
        cgroups: Option<Cgroups>,
    ) -> io::Result<Self> {
        let scratch = Scratch::new()?;
        let (running, background, transfers) = (Vec::new(), Vec::new(), Vec::new());
        let (shutting_down, tidying_failed) = (false, false);
        Ok(Self {
            running,
            background,
            shells: Vec::new(),
            directory: None,
            transfers,
            store,
            cgroups,
            scratch,
            defaults,
            shutting_down,
            tidying_failed,
        })
    }

    /// Runs the job unless its id was seen before. The job can be followed afterwards in both cases.
    ///
    /// # Errors
    /// Nothing ran, and the id is still unknown.
    pub(crate) fn start(&mut self, start: &Start) -> Result<(), RequestError> {
        check_id(&start.job_id)?;
        if self.store.seen(&start.job_id) {
            return Ok(());
        }
        if self.shutting_down {
            // Nothing will run in this shell any more, so the caller gets a final answer.
            return self.cancel_unseen(&start.job_id);
        }
        if self.running.len() >= MAX_RUNNING {
            return Err(temporary(format!("{MAX_RUNNING} jobs already run in this shell")));
        }
        if self.store.claim(&start.job_id).map_err(store_error)? {
            self.run_claimed(start).inspect_err(|_| self.store.forget(&start.job_id))?;
        }
        Ok(())
    }

    fn run_claimed(&mut self, start: &Start) -> Result<(), RequestError> {
        let with_bash = command_line::with_bash(start);
        let start = with_bash.as_ref().unwrap_or(start);
        let file = |stream| self.store.create_output(&start.job_id, stream).map_err(store_error);
        let files = [file(Stream::Stdout)?, file(Stream::Stderr)?];
        let started = match &start.shell {
            Some(name) => self.start_in_shell(start, name, files),
            None => spawn::spawn(start, &self.defaults, self.cgroups.as_ref())
                .map(|spawned| Job::new(start, spawned, files)),
        };
        let cause = match started {
            Ok(job) => {
                self.running.push(job);
                return Ok(());
            }
            Err(SpawnError::Temporary(message)) => return Err(temporary(message)),
            Err(SpawnError::Invalid(message)) => {
                Cause::SpawnFailed { message, not_executable: false }
            }
            Err(SpawnError::NotExecutable(message)) => {
                Cause::SpawnFailed { message, not_executable: true }
            }
            Err(SpawnError::NotFound(message)) => Cause::NotFound { message },
        };
        self.store.record_exit(&start.job_id, &Exit::not_run(cause)).map_err(store_error)
    }

    pub(crate) fn cancel(&mut self, job_id: &str, now: Instant) -> Result<(), RequestError> {
        check_id(job_id)?;
        if let Some(job) = self.find(job_id) {
            job.stop(StopReason::Cancel, now);
            Ok(())
        } else {
            self.cancel_unseen(job_id)
        }
    }

    /// Records that a job never runs, unless its id was seen before.
    fn cancel_unseen(&self, job_id: &str) -> Result<(), RequestError> {
        if self.store.claim(job_id).map_err(store_error)? {
            let exit = Exit::not_run(Cause::Cancelled { ended: None });
            self.store.record_exit(job_id, &exit).map_err(store_error)?;
        }
        Ok(())
    }

    pub(crate) fn signal(
        &mut self,
        job_id: &str,
        signal: i32,
        now: Instant,
    ) -> Result<(), RequestError> {
        self.known(job_id)?;
        if let Some(job) = self.find(job_id) {
            // Notices an end that was not handled yet, so that no other process with its pid is hit.
            job.check_report(now);
        }
        let job = self.find(job_id).filter(|job| job.is_alive());
        let job = job.ok_or_else(|| refused("the job has ended"))?;
        // Signal 0 only checks whether the group exists.
        if signal < 1 {
            return Err(refused(format!("{signal} is not a signal number")));
        }
        job.signal(signal).map_err(|error| refused(error.to_string()))
    }

    /// Whether the job runs, or has run, on a terminal that can be opened.
    pub(crate) fn check_terminal(&self, job_id: &str) -> Result<(), RequestError> {
        self.known(job_id)?;
        match self.running.iter().find(|job| job.id == job_id) {
            Some(job) if job.terminal.is_none() => Err(refused("the job has no terminal")),
            // The end of a terminal's output can still be read after its job has ended.
            Some(_) | None => Ok(()),
        }
    }

    /// The terminal of a running job.
    pub(crate) fn terminal(&mut self, job_id: &str) -> Result<&mut Terminal, RequestError> {
        let terminal = self.find(job_id).and_then(|job| job.terminal.as_mut());
        terminal.ok_or_else(|| refused("the terminal is closed"))
    }

    /// Changes the size of the terminal of a running job.
    pub(crate) fn resize(
        &mut self,
        job_id: &str,
        (cols, rows): (u16, u16),
        now: Instant,
    ) -> Result<(), RequestError> {
        self.terminal(job_id)?;
        let resized = self.find(job_id).map(|job| job.resize(cols, rows, now));
        resized
            .unwrap_or(Ok(()))
            .map_err(|error| refused(format!("cannot change the terminal's size: {error}")))
    }

    /// Gives a connection to a new process that reads or changes files.
    pub(crate) fn open_files(
        &mut self,
        request: FileRequest,
        connection: BorrowedFd<'_>,
    ) -> Result<(), RequestError> {
        let user = request.user.clone();
        self.transfer_to_process(&user, connection, |_| |caller| files::serve(request, caller))
    }

    /// Gives a connection to a new process that lists or signals processes of commands.
    pub(crate) fn open_processes(
        &mut self,
        request: &ProcessRequest,
        connection: BorrowedFd<'_>,
    ) -> Result<(), RequestError> {
        self.transfer_to_process(&request.user, connection, |jobs| {
            // With the rights of this process, which are needed to know and to signal every command.
            let prepared = processes::requests::prepare(&jobs.members(), request.action);
            |caller| processes::requests::answer(prepared, caller)
        })
    }

    /// The processes of each job that has some, with the id of the job. A process that occurs several times is
    /// one of the last of these jobs.
    fn members(&self) -> Vec<(&str, &Members)> {
        let shells = self.shells.iter();
        let shells = shells.map(|shell| (shell.identity.job_id.as_str(), &shell.members));
        let running = self.running.iter().map(|job| (job.id.as_str(), &job.members));
        let ended = self.background.iter().map(|rest| (rest.job_id.as_str(), &rest.members));
        shells.chain(running).chain(ended).collect()
    }

    /// Gives a connection to a new process, as [`spawn::transfer::spawn`] does.
    fn transfer_to_process<W: FnOnce(OwnedFd)>(
        &mut self,
        user: &str,
        connection: BorrowedFd<'_>,
        prepare: impl FnOnce(&Self) -> W,
    ) -> Result<(), RequestError> {
        if self.shutting_down {
            return Err(refused("the shell is shutting down"));
        }
        if self.transfers.len() >= MAX_TRANSFERS {
            // Commands run as the same user and may stop these processes, whose time limits then never pass.
            let stopped = self.transfers.iter().filter(|transfer| transfer.is_stopped());
            stopped.for_each(|transfer| sys::signal(transfer.pid, libc::SIGKILL));
            let message = format!("{MAX_TRANSFERS} transfers of files already run in this shell");
            return Err(temporary(message));
        }
        let (defaults, cgroups) = (&self.defaults, self.cgroups.as_ref());
        match spawn::transfer::spawn(user, defaults, cgroups, connection, || prepare(self)) {
            Ok(transfer) => {
                self.transfers.push(transfer);
                Ok(())
            }
            Err(SpawnError::Temporary(message)) => Err(temporary(message)),
            Err(
                SpawnError::Invalid(message)
                | SpawnError::NotExecutable(message)
                | SpawnError::NotFound(message),
            ) => Err(refused(message)),
        }
    }

    pub(crate) fn release(&mut self, job_id: &str) -> Result<(), RequestError> {
        self.known(job_id)?;
        if self.find(job_id).is_some() {
            return Err(refused("the job still runs"));
        }
        self.store.release(job_id);
        Ok(())
    }

    /// # Errors
    /// `Unknown`, or `Failed` if the text is not a valid job id.
    pub(crate) fn known(&self, job_id: &str) -> Result<(), RequestError> {
        check_id(job_id)?;
        if self.store.seen(job_id) { Ok(()) } else { Err(RequestError::Unknown) }
    }

    /// The progress of a known job, for a connection that follows it or has opened its terminal.
    pub(crate) fn progress(&self, job_id: &str, view: View) -> Progress {
        let streams = [Stream::Stdout, Stream::Stderr];
        match self.running.iter().find(|job| job.id == job_id) {
            Some(job) => Progress::Running(match view {
                View::Job => streams.map(|stream| job.settled(stream)),
                View::Terminal => streams.map(|stream| job.kept(stream)),
            }),
            None => Progress::Ended(
                self.store.exit(job_id).unwrap_or_else(|| Exit::not_run(Cause::Lost)),
            ),
        }
    }

    /// The file that keeps a stream of a known job; `None` if it was released.
    pub(crate) fn output(&self, job_id: &str, stream: Stream) -> Option<Rc<File>> {
        match self.running.iter().find(|job| job.id == job_id) {
            Some(job) => Some(job.streams[stream as usize].file()),
            None => self.store.open_output(job_id, stream).map(Rc::new),
        }
    }

    /// Moves input and output of the jobs whose entry in `ready` is true, and of those that have ended.
    pub(crate) fn transfer(&mut self, ready: &[bool], now: Instant) {
        for (job, ready) in self.running.iter_mut().zip(ready) {
            if *ready || job.must_transfer() {
                job.transfer(&mut self.scratch, now);
            }
        }
        // Background processes would block on a full pipe.
        for background in &mut self.background {
            background
                .pipes
                .retain(|pipe| !matches!(capture::discard(pipe, &mut self.scratch), Ok(0)));
        }
    }

    /// Reaps every child that has ended: main processes of jobs, and orphans reparented to the runner.
    pub(crate) fn reap(&mut self, now: Instant) -> io::Result<()> {
        'children: while let Some(pid) = sys::ended_child() {
            for job in &mut self.running {
                if job.reap(pid, now)? {
                    continue 'children;
                }
            }
            for background in &mut self.background {
                background.members.reaped(pid);
            }
            for shell in &mut self.shells {
                shell.members.reaped(pid);
            }
            sys::reap(pid)?;
            self.remove_shell(pid);
            for transfer in self.transfers.extract_if(.., |transfer| transfer.pid == pid) {
                self.cgroups
                    .iter_mut()
                    .zip(transfer.cgroup)
                    .for_each(|(all, own)| all.take_back(own));
            }
        }
        let ended = self.background.extract_if(.., |background| background.is_over());
        ended.for_each(|background| background.members.release(self.cgroups.as_mut()));
        Ok(())
    }

    /// Enforces deadlines, and records the exits of jobs whose output is complete.
    pub(crate) fn tick(&mut self, now: Instant) {
        for job in &mut self.running {
            job.enforce(now);
        }
        let ended = self.running.extract_if(.., |job| {
            let Some(exit) = job.exit(now) else { return false };
            // The file is reserved. If writing fails all the same, the job is reported as lost.
            let _ = self.store.record_exit(&job.id, &exit);
            true
        });
        for job in ended {
            match job.into_rest() {
                Rest::Background(background) => self.background.push(background),
                Rest::Nothing(members) => members.release(self.cgroups.as_mut()),
                Rest::Shell(shell, background) => {
                    self.shells.push(shell);
                    self.background.extend(Some(background).filter(|rest| !rest.is_over()));
                }
            }
            self.tidying_failed = false;
        }
        let held = self.background.len().saturating_sub(MAX_HELD);
        self.background.iter_mut().take(held).for_each(|background| background.pipes.clear());
    }

    /// Whether [`Jobs::tidy`] has something to do.
    pub(crate) fn is_untidy(&self) -> bool {
        self.cgroups.as_ref().is_some_and(Cgroups::is_untidy) && !self.tidying_failed
    }

    /// Does a small piece of work that no caller waits for.
    pub(crate) fn tidy(&mut self) {
        let done = self.cgroups.as_mut().map_or(Ok(()), Cgroups::tidy);
        self.tidying_failed = done.is_err();
    }

    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let transfer = self.running.iter().any(|job| job.is_alive() && job.must_transfer());
        let due = self.running.iter().filter_map(|job| job.due(now));
        due.chain(transfer.then_some(now)).min()
    }

    /// Stops all jobs, except those that have ended by themselves and whose end was not handled yet.
    pub(crate) fn shut_down(&mut self, now: Instant) -> io::Result<()> {
        self.reap(now)?;
        self.shutting_down = true;
        self.running.iter_mut().for_each(|job| job.check_report(now));
        self.transfers.iter().for_each(|transfer| sys::signal(transfer.pid, libc::SIGKILL));
        self.running.iter_mut().for_each(|job| job.stop(StopReason::Shutdown, now));
        Ok(())
    }

    fn find(&mut self, job_id: &str) -> Option<&mut Job> {
        self.running.iter_mut().find(|job| job.id == job_id)
    }
}

/// Checks that the id is safe as the name of a directory.
fn check_id(job_id: &str) -> Result<(), RequestError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&job_id.len()) && job_id.bytes().all(plain) {
        Ok(())
    } else {
        Err(refused("not a job id: it must have 1 to 64 characters of A-Z a-z 0-9 _ -"))
    }
}

fn refused(message: impl Into<String>) -> RequestError {
    RequestError::Failed { message: message.into(), retryable: false }
}

fn temporary(message: String) -> RequestError {
    RequestError::Failed { message, retryable: true }
}

fn store_error(error: io::Error) -> RequestError {
    temporary(format!("cannot write the job's directory: {error}"))
}
