//! The one thread that writes. It takes all that waits, writes it in one transaction and answers
//! once that is on disk: many callers share one fsync.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};

/// How many writes share a transaction at most.
const GROUP: usize = 1024;
/// How long a group that nobody waits for waits for one that somebody waits for.
const PATIENCE: Duration = Duration::from_millis(5);
/// How long a group that nobody waits for rests after the disk refused it.
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
    /// Relaxed writes that the disk refused.
    kept: Vec<Relaxed>,
    closed: bool,
}

impl Writer {
    pub(super) const fn new(db: Connection, tasks: Receiver<Task>) -> Self {
        Self { db, tasks, kept: Vec::new(), closed: false }
    }

    /// Writes until all senders are gone and all they sent is written.
    pub(super) fn run(mut self) {
        while let Some(group) = self.gather() {
            self.commit(group);
        }
    }

    /// Waits for writes and takes all there are.
    fn gather(&mut self) -> Option<Vec<Task>> {
        if self.closed {
            return None;
        }
        let patience = if self.kept.is_empty() { PATIENCE } else { REST };
        let mut group: Vec<Task> = self.kept.drain(..).map(Task::Relaxed).collect();
        if group.is_empty() {
            group.push(self.tasks.recv().ok()?);
        }
        let deadline = Instant::now() + patience;
        let mut awaited = group.iter().any(|task| matches!(task, Task::Awaited(_)));
        while group.len() < GROUP {
            let next = match self.tasks.try_recv() {
                Err(TryRecvError::Empty) if awaited => break,
                Err(TryRecvError::Empty) => {
                    self.tasks.recv_timeout(deadline.saturating_duration_since(Instant::now()))
                }
                Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
                Ok(task) => Ok(task),
            };
            match next {
                Ok(task) => {
                    awaited |= matches!(task, Task::Awaited(_));
                    group.push(task);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    self.closed = true;
                    break;
                }
            }
        }
        Some(group)
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
                        state = write(&self.db).or_else(forgive);
                    }
                    relaxed.push(write);
                }
            }
        }
        match state.and_then(|()| self.step("COMMIT")) {
            Ok(()) => answers.into_iter().for_each(|answer| answer(Ok(()))),
            Err(error) => {
                tracing::error!(error = %error, "a group of writes was not committed: {error}");
                self.abandon();
                self.kept = relaxed;
                let error = Arc::new(error);
                answers.into_iter().for_each(|answer| answer(Err(Arc::clone(&error))));
            }
        }
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

    fn step(&self, sql: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// A relaxed write that can never succeed must not hold up the rest for ever.
fn forgive(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::DatabaseBusy
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen,
        ) => Err(error),
        _ => {
            tracing::error!(error = %error, "a write was dropped: {error}");
            Ok(())
        }
    }
}
