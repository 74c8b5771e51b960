//! One SQLite file for all that must outlive the process.
//!
//! One thread writes, in batches; any number of threads read, each with a connection of its own. A read of
//! one record takes about 20 µs, so it runs on the thread of its asynchronous caller; lists and output are
//! read in a few threads apart.

use std::{
    fmt,
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use domain::ports::BackendError;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::{
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
};

pub(crate) use self::disk::Disk;
use self::writer::{Write, Writer, Written};

mod disk;
mod log;
mod migrate;
mod writer;

/// The name of the file in the data directory.
const FILE: &str = "ephemeral.db";
/// The name of SQLite's write-ahead log.
const LOG: &str = "ephemeral.db-wal";
/// The size to which SQLite shortens its log after a checkpoint, which gives back the room that a large transaction
/// took. Bytes.
const LOG_LIMIT: u32 = 8 << 20;
/// The file that is locked as long as a server uses the directory.
const LOCK: &str = "lock";
/// The version of the schema that this code reads and writes.
const SCHEMA: i64 = 4;
/// How many reads run in threads apart at once.
const READERS: usize = 4;

/// Why the database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server uses the data directory.
    #[error("the data directory {} is in use by another server", .0.display())]
    InUse(PathBuf),
    /// A newer version of this program wrote the file.
    #[error(
        "the data directory was written by a newer version of this program: its schema is {found}, and \
         this version reads up to {SCHEMA}"
    )]
    Newer {
        /// The version of the schema in the file.
        found: i64,
    },
    /// The file can't be read or written.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// The open file. Clones share it; when the last one is dropped, all queued writes are done first.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    reads_apart: Arc<Semaphore>,
    disk: Arc<Disk>,
    writes: Option<Sender<Write>>,
    writer: Option<JoinHandle<()>>,
    /// Whether deferred writes have failed and are still to be repeated.
    behind: Arc<AtomicBool>,
    /// The operating system releases the lock when the process ends in any way.
    _lock: Option<File>,
}

/// A write was dropped because its batch failed, or is still to be repeated.
#[derive(Debug, thiserror::Error)]
#[error("the write was not committed")]
struct NotCommittedError;

impl Database {
    /// Opens the file in this directory for a server, and locks the directory. Both are created if they
    /// do not exist.
    ///
    /// # Errors
    /// `InUse` if another server has locked the directory; `Newer` if a newer version wrote the file.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        make_dir(dir).map_err(|error| BackendError::new("creating the data directory", error))?;
        let lock = lock(dir)?;
        Self::start(dir, Some(lock))
    }

    /// Opens the file without the lock, for a short command while a server may be using it.
    ///
    /// # Errors
    /// `Newer` if a newer version wrote the file.
    pub fn open_shared(dir: &Path) -> Result<Self, OpenError> {
        make_dir(dir).map_err(|error| BackendError::new("creating the data directory", error))?;
        Self::start(dir, None)
    }

    fn start(dir: &Path, lock: Option<File>) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        make_file(&path).map_err(|error| BackendError::new("creating the database", error))?;
        let db =
            open_writer(&path).map_err(|error| BackendError::new("opening the database", error))?;
        migrate::migrate(&db)?;
        // Connections that are open already need no descriptor when descriptors are rare.
        let readers = (0..if lock.is_some() { READERS } else { 0 })
            .map(|_| open_reader(&path))
            .collect::<rusqlite::Result<_>>()
            .map_err(|error| BackendError::new("opening the database", error))?;
        let disk = Arc::new(Disk::of(dir));
        let (writes, queued) = mpsc::channel();
        let behind = Arc::default();
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let (behind, disk) = (Arc::clone(&behind), Arc::clone(&disk));
                let log = lock.is_some().then(|| dir.join(LOG));
                move || {
                    if let Some(log) = log {
                        log::enlarge(&db, &log, &disk);
                    }
                    Writer::new(db, queued, behind, disk).run();
                }
            })
            .map_err(|error| BackendError::new("starting the writer", error))?;
        let inner = Inner {
            path,
            readers: Mutex::new(readers),
            reads_apart: Arc::new(Semaphore::new(READERS)),
            disk,
            writes: Some(writes),
            writer: Some(writer),
            behind,
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs a write in the writer's thread and returns when it is on disk, or when it was rolled back
    /// because it failed. Once it is on disk, and before this returns, `after` runs, even if the caller
    /// was dropped. Neither closure may hold a clone of this database.
    ///
    /// # Errors
    /// The error of `write`, or the reason why its batch was not committed.
    pub(crate) async fn write<T, E>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        after: impl FnOnce() + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<BackendError> + Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        self.send(Write::Awaited(Box::new(move |db| {
            let result = write(db);
            let keep = result.is_ok();
            let answer = Box::new(move |committed: Result<(), Arc<rusqlite::Error>>| {
                let result = match committed {
                    Ok(()) => result.inspect(|_| after()),
                    Err(error) => Err(BackendError::new("committing", error).into()),
                };
                // The caller may have been dropped; the write is done nevertheless.
                let _caller_dropped = reply.send(result);
            });
            Written { keep, answer }
        })));
        result
            .await
            .unwrap_or_else(|_| Err(BackendError::new("committing", NotCommittedError).into()))
    }

    /// Queues a write without waiting for it. It keeps its place in the order of all writes and is
    /// committed within milliseconds. If the commit fails it is repeated, so it must be idempotent.
    pub(crate) fn later(
        &self,
        write: impl Fn(&Connection) -> rusqlite::Result<()> + Send + 'static,
    ) {
        self.send(Write::Deferred(Box::new(write)));
    }

    /// Runs a read. It sees every write that returned before it.
    pub(crate) fn read<T>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, BackendError> {
        let idle = self.inner.readers.lock().pop();
        let db = match idle {
            Some(db) => db,
            None => {
                open_reader(&self.inner.path).map_err(|error| BackendError::new(action, error))?
            }
        };
        let result = read(&db).map_err(|error| BackendError::new(action, error));
        self.inner.readers.lock().push(db);
        result
    }

    /// Runs a read that may take long in another thread, a few at a time. It sees every write that
    /// returned before it.
    pub(crate) async fn read_apart<T: Send + 'static>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BackendError> {
        let failed = |error| BackendError::new(action, error);
        let permit = Arc::clone(&self.inner.reads_apart).acquire_owned().await;
        let permit = permit.map_err(|error| BackendError::new(action, error))?;
        let db = self.clone();
        let done = spawn_blocking(move || {
            let _permit = permit;
            db.read(action, read)
        });
        done.await.map_err(failed)?
    }

    /// The disk of the data directory.
    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.inner.disk
    }

    /// Returns when all writes that were queued before are on disk.
    ///
    /// # Errors
    /// If this write, or a deferred one before it, can't be committed now.
    pub async fn flush(&self) -> Result<(), BackendError> {
        self.write(|_| Ok::<_, BackendError>(()), || ()).await?;
        if self.inner.behind.load(Ordering::Acquire) {
            return Err(BackendError::new("committing deferred writes", NotCommittedError));
        }
        Ok(())
    }

    fn send(&self, write: Write) {
        let writes = self.inner.writes.as_ref().expect("the sender is taken only by the drop");
        // If the writer is gone, the write is dropped, which answers its caller with an error.
        let _writer_gone = writes.send(write);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.writes.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the database panicked; queued writes may be lost");
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

/// Creates the directory, accessible to its owner alone: the records hold secrets. A directory that exists
/// becomes so, unless it may be used for something else.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return restrict(dir);
    }
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(0o700).recursive(true).create(dir)
}

/// Takes the access of others to this directory away, if it is empty or has a database, and is not shared
/// like `/tmp`.
fn restrict(dir: &Path) -> io::Result<()> {
    const STICKY: u32 = 0o1000;
    let mode = fs::metadata(dir)?.mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let is_ours = dir.join(FILE).exists() || fs::read_dir(dir)?.next().is_none();
    if is_ours && mode & STICKY == 0 {
        match fs::set_permissions(dir, Permissions::from_mode(0o700)) {
            // Another user's directory that this one may write to.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            done => return done,
        }
    }
    tracing::warn!(
        "others can read parts of the data directory {}: use a directory of its own, with mode 0700",
        dir.display()
    );
    Ok(())
}

/// Creates the file if it does not exist, accessible to its owner alone; SQLite's other files get the
/// same mode. An existing file is not opened: to close it would release SQLite's own locks.
fn make_file(path: &Path) -> io::Result<()> {
    match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let failed = |error| BackendError::new("locking the data directory", error);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join(LOCK))
        .map_err(failed)?;
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
    db.pragma_update(None, "journal_size_limit", LOG_LIMIT)?;
    set_up_statements(&db, 128)?;
    Ok(db)
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    set_up_statements(&db, 64)?;
    Ok(db)
}

/// Keeps this many statements prepared. Their plans don't depend on the values of their parameters: otherwise
/// SQLite prepares a statement that may use a partial index again whenever such a value has changed.
fn set_up_statements(db: &Connection, capacity: usize) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(capacity);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

#[cfg(test)]
mod tests;
