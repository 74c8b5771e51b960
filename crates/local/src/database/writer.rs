//! The one thread that writes. It takes all that waits, writes it in one transaction and answers
//! once that is on disk: many callers share one fsync.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};

/// How many writes share a transaction at most.
const GROUP: usize = 1024;
/// How long a group that nobody waits for waits for one that somebody waits for.
const PATIENCE: Duration = Duration::from_millis(5);
/// How long the next of a crowd of callers is waited for: less than an fsync.
const LULL: Duration = Duration::from_micros(100);
/// How long writes that nobody waits for rest at most after the disk refused them.
const REST: Duration = Duration::from_millis(500);

/// A write on its way to the writer.
pub(super) enum Task {
    /// Somebody waits for the commit.
    Awaited(Awaited),
    /// Nobody waits. Kept and written again until it is on disk, so it must bear repetition.
    Relaxed(Relaxed),
}

pub(super) type Awaited = Box<dyn FnOnce(&Connection) -> Ran + Send>;
pub(super) type Relaxed = Box<dyn Fn(&Connection) -> rusqlite::Result<()> + Send>;

/// What a write did in its savepoint.
pub(super) struct Ran {
    /// Whether its changes stay.
    pub(super) keep: bool,
    /// Tells the caller, once it is known what became of the group.
    pub(super) answer: Answer,
}

pub(super) type Answer = Box<dyn FnOnce(Result<(), Arc<rusqlite::Error>>) + Send>;

/// The writing side of the database; lives in its own thread.
pub(super) struct Writer {
    db: Connection,
    tasks: Receiver<Task>,
    /// Relaxed writes that the disk refused, in order.
    kept: Vec<Relaxed>,
    /// Tells others whether there are such.
    behind: Arc<AtomicBool>,
    /// How many callers the last group had: those who come again at once are waited for.
    crowd: usize,
    failing: bool,
    closed: bool,
}

impl Writer {
    pub(super) const fn new(
        db: Connection,
        tasks: Receiver<Task>,
        behind: Arc<AtomicBool>,
    ) -> Self {
        Self { db, tasks, kept: Vec::new(), behind, crowd: 0, failing: false, closed: false }
    }

    /// Writes until all senders are gone and all they sent is written.
    pub(super) fn run(mut self) {
        while let Some(mut group) = self.gather() {
            if !self.kept.is_empty() {
                // What the disk refused stands apart: it would take the others down with it.
                group = self.keep_relaxed(group);
                let kept = mem::take(&mut self.kept);
                self.commit(kept.into_iter().map(Task::Relaxed).collect());
            }
            if !group.is_empty() {
                self.commit(group);
            }
        }
    }

    /// Waits for writes and takes all there are.
    fn gather(&mut self) -> Option<Vec<Task>> {
        if self.closed {
            return None;
        }
        let mut group = Vec::new();
        let mut deadline = Instant::now() + REST;
        if self.kept.is_empty() {
            group.push(self.tasks.recv().ok()?);
            deadline = Instant::now() + PATIENCE;
        }
        let mut awaited = group.iter().filter(|task| task.is_awaited()).count();
        while group.len() < GROUP {
            let rest = deadline.saturating_duration_since(Instant::now());
            let patience = match awaited {
                0 => rest,
                few if few < self.crowd => rest.min(LULL),
                _ => Duration::ZERO,
            };
            match self.tasks.recv_timeout(patience) {
                Ok(task) => {
                    awaited += usize::from(task.is_awaited());
                    group.push(task);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    self.closed = true;
                    break;
                }
            }
        }
        self.crowd = awaited;
        Some(group)
    }

    /// Puts the relaxed writes of a group behind those that wait already; gives back the others.
    fn keep_relaxed(&mut self, group: Vec<Task>) -> Vec<Task> {
        let mut others = Vec::new();
        for task in group {
            match task {
                Task::Relaxed(write) => self.kept.push(write),
                Task::Awaited(_) => others.push(task),
            }
        }
        others
    }

    fn commit(&mut self, group: Vec<Task>) {
        let mut answers = Vec::new();
        let mut relaxed = Vec::new();
        let mut state = self.step("BEGIN IMMEDIATE");
        for task in group {
            match task {
                Task::Awaited(write) if state.is_ok() => {
                    state = self.write_alone(write, &mut answers);
                }
                // To drop a write tells its caller that it was not done.
                Task::Awaited(_) => {}
                Task::Relaxed(write) => {
                    if state.is_ok() {
                        state = write(&self.db).or_else(give_up);
                    }
                    relaxed.push(write);
                }
            }
        }
        let done = state.and_then(|()| self.step("COMMIT")).map_err(Arc::new);
        self.note(done.as_ref().err());
        if done.is_err() {
            self.abandon();
            relaxed.append(&mut self.kept);
            self.kept = relaxed;
        }
        self.behind.store(!self.kept.is_empty(), Ordering::Release);
        answers.into_iter().for_each(|answer| answer(done.clone()));
    }

    /// Runs a write so that its failure leaves the others of the group alone. Fails only if the
    /// whole transaction is lost.
    fn write_alone(&self, write: Awaited, answers: &mut Vec<Answer>) -> rusqlite::Result<()> {
        self.step("SAVEPOINT one")?;
        let ran = write(&self.db);
        answers.push(ran.answer);
        if !ran.keep {
            self.step("ROLLBACK TO one")?;
        }
        self.step("RELEASE one")
    }

    fn abandon(&self) {
        // A full disk may have ended the transaction already.
        if !self.db.is_autocommit()
            && let Err(error) = self.step("ROLLBACK")
        {
            tracing::error!(error = %error, "a transaction was not rolled back: {error}");
        }
    }

    /// Logs the first of a row of failures, and its end: a full disk must not fill the log.
    fn note(&mut self, failure: Option<&Arc<rusqlite::Error>>) {
        match failure {
            Some(error) if !self.failing => {
                tracing::error!(error = %error, "writes are not committed: {error}");
            }
            None if self.failing => tracing::info!("writes are committed again"),
            _ => {}
        }
        self.failing = failure.is_some();
    }

    fn step(&self, sql: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached(sql)?.execute([]).map(drop)
    }
}

impl Task {
    const fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited(_))
    }
}

/// Gives up a relaxed write that can never succeed: it must not hold up the rest. Trouble of the
/// machine passes.
fn give_up(error: rusqlite::Error) -> rusqlite::Result<()> {
    let passes = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseBusy
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
        )
    );
    if passes {
        return Err(error);
    }
    tracing::error!(error = %error, "a write is given up: {error}");
    Ok(())
}
