//! The thread that writes. It takes all writes that are queued, commits them in one transaction and
//! answers their callers once that is on disk, so that many callers share one fsync.

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

use super::Disk;

/// The largest number of writes in one transaction.
const MAX_BATCH: usize = 1024;
/// Longest delay before a batch without a waiting caller is committed; a caller who waits flushes it
/// earlier.
const MAX_BATCH_DELAY: Duration = Duration::from_millis(5);
/// How long the writer waits for one more caller while it has fewer than in the last batch: callers
/// that were answered together tend to write again together. Shorter than an fsync.
const BATCH_WINDOW: Duration = Duration::from_micros(100);
/// Longest delay before deferred writes that failed are tried again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// A write that is queued for the writer.
pub(super) enum Write {
    /// A caller waits for its commit.
    Awaited(AwaitedWrite),
    /// No caller waits. It is repeated until it is on disk, so it must be idempotent.
    Deferred(DeferredWrite),
}

pub(super) type AwaitedWrite = Box<dyn FnOnce(&Connection) -> Written + Send>;
pub(super) type DeferredWrite = Box<dyn Fn(&Connection) -> rusqlite::Result<()> + Send>;

/// What an awaited write did within its savepoint.
pub(super) struct Written {
    /// Whether its changes stay; else they are rolled back.
    pub(super) keep: bool,
    /// Answers the caller with the result of the commit.
    pub(super) answer: Answer,
}

pub(super) type Answer = Box<dyn FnOnce(Result<(), Arc<rusqlite::Error>>) + Send>;

/// The writing side of the database; it lives in a thread of its own.
pub(super) struct Writer {
    db: Connection,
    writes: Receiver<Write>,
    /// Deferred writes whose commit failed, in order.
    failed: Vec<DeferredWrite>,
    /// Whether `failed` is not empty, for other threads.
    behind: Arc<AtomicBool>,
    disk: Arc<Disk>,
    /// The number of awaited writes in the last batch.
    last_awaited: usize,
    /// Whether the last commit failed.
    failing: bool,
    /// Whether all senders are gone.
    closed: bool,
}

impl Writer {
    pub(super) const fn new(
        db: Connection,
        writes: Receiver<Write>,
        behind: Arc<AtomicBool>,
        disk: Arc<Disk>,
    ) -> Self {
        let failed = Vec::new();
        Self { db, writes, failed, behind, disk, last_awaited: 0, failing: false, closed: false }
    }

    /// Writes until all senders are gone and all their writes were tried.
    pub(super) fn run(mut self) {
        self.disk.check(&self.db);
        while let Some(mut batch) = self.next_batch() {
            self.disk.check(&self.db);
            if !self.failed.is_empty() {
                // Failed writes get a transaction of their own: another failure must not roll back
                // the writes of callers.
                batch = self.postpone_deferred(batch);
                let failed = mem::take(&mut self.failed);
                self.commit(failed.into_iter().map(Write::Deferred).collect());
            }
            if !batch.is_empty() {
                self.commit(batch);
            }
        }
    }

    /// Waits for writes and takes all that are queued; none once all senders are gone.
    fn next_batch(&mut self) -> Option<Vec<Write>> {
        if self.closed {
            return None;
        }
        let mut batch = Vec::new();
        let mut deadline = Instant::now() + RETRY_DELAY;
        if self.failed.is_empty() {
            batch.push(self.writes.recv().ok()?);
            deadline = Instant::now() + MAX_BATCH_DELAY;
        }
        let mut awaited = batch.iter().filter(|write| write.is_awaited()).count();
        while batch.len() < MAX_BATCH {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let timeout = match awaited {
                0 => remaining,
                n if n < self.last_awaited => remaining.min(BATCH_WINDOW),
                _ => Duration::ZERO,
            };
            match self.writes.recv_timeout(timeout) {
                Ok(write) => {
                    awaited += usize::from(write.is_awaited());
                    batch.push(write);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    self.closed = true;
                    break;
                }
            }
        }
        self.last_awaited = awaited;
        Some(batch)
    }

    /// Appends the deferred writes of a batch to the failed ones, and returns the others.
    fn postpone_deferred(&mut self, batch: Vec<Write>) -> Vec<Write> {
        let mut others = Vec::new();
        for write in batch {
            match write {
                Write::Deferred(write) => self.failed.push(write),
                Write::Awaited(_) => others.push(write),
            }
        }
        others
    }

    fn commit(&mut self, batch: Vec<Write>) {
        let mut answers = Vec::new();
        let mut deferred = Vec::new();
        let mut state = self.execute("BEGIN IMMEDIATE");
        for write in batch {
            match write {
                Write::Awaited(write) if state.is_ok() => {
                    state = self.write_in_savepoint(write, &mut answers);
                }
                // A write that is dropped answers its caller with an error.
                Write::Awaited(_) => {}
                Write::Deferred(write) => {
                    if state.is_ok() {
                        state = write(&self.db).or_else(drop_if_permanent);
                    }
                    deferred.push(write);
                }
            }
        }
        let done = state.and_then(|()| self.execute("COMMIT")).map_err(Arc::new);
        self.log_change(done.as_ref().err());
        if let Err(error) = &done {
            self.roll_back();
            if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
                self.disk.give_up_reserve();
            }
            deferred.append(&mut self.failed);
            self.failed = deferred;
        }
        self.behind.store(!self.failed.is_empty(), Ordering::Release);
        answers.into_iter().for_each(|answer| answer(done.clone()));
    }

    /// Runs a write in a savepoint, so that its failure does not affect the others of the batch.
    ///
    /// # Errors
    /// Only if the whole transaction is lost.
    fn write_in_savepoint(
        &self,
        write: AwaitedWrite,
        answers: &mut Vec<Answer>,
    ) -> rusqlite::Result<()> {
        self.execute("SAVEPOINT one")?;
        let written = write(&self.db);
        answers.push(written.answer);
        if !written.keep {
            self.execute("ROLLBACK TO one")?;
        }
        self.execute("RELEASE one")
    }

    fn roll_back(&self) {
        // On a full disk SQLite may have rolled the transaction back already.
        if !self.db.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "failed to roll a transaction back: {error}");
        }
    }

    /// Logs only the first failure of a series and its end: a full disk must not fill the log.
    fn log_change(&mut self, failure: Option<&Arc<rusqlite::Error>>) {
        match failure {
            Some(error) if !self.failing => {
                tracing::error!(
                    %error,
                    "failed to commit to the database: {error}; requests fail and other writes are \
                     retried until the disk of the data directory accepts writes again"
                );
            }
            None if self.failing => tracing::info!("the database commits again"),
            _ => {}
        }
        self.failing = failure.is_some();
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached(sql)?.execute([]).map(drop)
    }
}

impl Write {
    const fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited(_))
    }
}

/// Drops a deferred write that can never succeed, so that it does not block the others. An error that
/// may be temporary (a full disk, a lock) is returned, and the write is tried again.
fn drop_if_permanent(error: rusqlite::Error) -> rusqlite::Result<()> {
    let temporary = matches!(
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
    if temporary {
        return Err(error);
    }
    tracing::error!(%error, "dropped a write that the database rejects: {error}");
    Ok(())
}
