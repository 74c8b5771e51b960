//! One SQLite file for all that must outlive the process.
//!
//! One thread writes, in groups; any number of threads read, each with a connection of its own.
//! A read takes some 20 µs, so it is done where it is asked for, on the asynchronous thread.

use std::{
    fmt,
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use domain::ports::BackendError;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use self::writer::{Ran, Task, Writer};

mod writer;

/// The file's name in the data directory.
const FILE: &str = "ephemeral.db";
/// Held for as long as a server uses the directory.
const LOCK: &str = "lock";
/// The schema that this code reads and writes.
const SCHEMA: i64 = 1;

/// Why the database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has it.
    #[error("the data directory {} is in use by another server", .0.display())]
    InUse(PathBuf),
    /// A newer version of this program wrote it.
    #[error("the data directory has schema {found}, this version knows {SCHEMA} at most")]
    Newer {
        /// The schema's version in the file.
        found: i64,
    },
    /// It can't be read or written.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// The open file. Clones share it; the last one to go writes what is left.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    tasks: Option<Sender<Task>>,
    writer: Option<JoinHandle<()>>,
    /// Whether the disk refuses writes that nobody waits for.
    behind: Arc<AtomicBool>,
    /// Unlocked when it is closed, however the process ends.
    _lock: Option<File>,
}

/// The writer went away without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the write was not done")]
struct NotDone;

impl Database {
    /// Opens the file in this directory, makes both if need be, and keeps other servers out.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        make_dir(dir).map_err(|error| BackendError::new("making the data directory", error))?;
        let lock = lock(dir)?;
        Self::start(dir, Some(lock))
    }

    /// Opens the file for a short errand while a server may be using it.
    pub fn open_shared(dir: &Path) -> Result<Self, OpenError> {
        make_dir(dir).map_err(|error| BackendError::new("making the data directory", error))?;
        Self::start(dir, None)
    }

    fn start(dir: &Path, lock: Option<File>) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        make_file(&path).map_err(|error| BackendError::new("making the database", error))?;
        let db =
            open_writer(&path).map_err(|error| BackendError::new("opening the database", error))?;
        migrate(&db)?;
        let (tasks, received) = mpsc::channel();
        let behind = Arc::default();
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let behind = Arc::clone(&behind);
                move || Writer::new(db, received, behind).run()
            })
            .map_err(|error| BackendError::new("starting the writer", error))?;
        let inner = Inner {
            path,
            readers: Mutex::default(),
            tasks: Some(tasks),
            writer: Some(writer),
            behind,
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs a write in the writer's thread and returns when it is on disk, or when it was undone
    /// because it failed. Once it is on disk, and before this returns, `after` is run, even if the
    /// caller has gone away. Neither may hold this database.
    pub(crate) async fn write<T, E>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        after: impl FnOnce() + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<BackendError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Task::Awaited(Box::new(move |db| {
            let result = write(db);
            let keep = result.is_ok();
            let answer = Box::new(move |group: Result<(), Arc<rusqlite::Error>>| {
                let result = match group {
                    Ok(()) => result.inspect(|_| after()),
                    Err(error) => Err(BackendError::new("committing", error).into()),
                };
                // The caller may have gone away; the write counts all the same.
                let _gone = reply.send(result);
            });
            Ran { keep, answer }
        })));
        answer.await.unwrap_or_else(|_| Err(BackendError::new("committing", NotDone).into()))
    }

    /// Hands over a write that nobody waits for. It is done in the order of all writes, within
    /// milliseconds, and again if the disk refuses it: it must bear repetition.
    pub(crate) fn later(
        &self,
        write: impl Fn(&Connection) -> rusqlite::Result<()> + Send + 'static,
    ) {
        self.send(Task::Relaxed(Box::new(write)));
    }

    /// Reads. Sees all writes that were answered before.
    pub(crate) fn read<T>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, BackendError> {
        let idle = self.readers().pop();
        let db = match idle {
            Some(db) => db,
            None => {
                open_reader(&self.inner.path).map_err(|error| BackendError::new(action, error))?
            }
        };
        let result = read(&db).map_err(|error| BackendError::new(action, error));
        self.readers().push(db);
        result
    }

    /// Returns when all that was handed over before is on disk. Fails while the disk refuses it.
    pub async fn flush(&self) -> Result<(), BackendError> {
        self.write(|_| Ok::<_, BackendError>(()), || ()).await?;
        if self.inner.behind.load(Ordering::Acquire) {
            return Err(BackendError::new("writing what nobody waits for", NotDone));
        }
        Ok(())
    }

    fn send(&self, task: Task) {
        let tasks =
            self.inner.tasks.as_ref().expect("the sender is taken only when this is dropped");
        // If the writer is gone the task is dropped, which tells its caller.
        let _gone = tasks.send(task);
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.inner.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.tasks.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the database panicked");
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

/// Only its owner may look into it: the records hold secrets.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(0o700).recursive(true).create(dir)
}

/// Makes the file, if it is not there, readable by its owner alone, as SQLite's other files then
/// are. One that is there is not touched: to close it would end SQLite's own locks.
fn make_file(path: &Path) -> io::Result<()> {
    match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let failed = |error| BackendError::new("locking the data directory", error);
    let file = File::create(dir.join(LOCK)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error).into()),
    }
}

fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", "OFF")?;
    db.set_prepared_statement_cache_capacity(128);
    Ok(db)
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Makes the tables of a new file; refuses a file that a later version wrote.
fn migrate(db: &Connection) -> Result<(), OpenError> {
    let failed = |error| BackendError::new("reading the schema", error);
    db.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let found: i64 =
        db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > SCHEMA {
        return Err(OpenError::Newer { found });
    }
    if found == 0 {
        db.execute_batch(include_str!("database/schema.sql")).map_err(failed)?;
        db.pragma_update(None, "user_version", SCHEMA).map_err(failed)?;
    }
    db.execute_batch("COMMIT").map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests;
