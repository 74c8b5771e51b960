//! The write-ahead log of the database, which gets its full size before it is needed.
//!
//! A commit writes behind the end of the log's frames and waits for the disk. If the file grows by that, the
//! file system stores its new size and the place of its new blocks as well, which takes longer than the
//! data itself. SQLite writes over the log from its start after each checkpoint, so only a new log grows.
//! Zeros behind the last frame are no frame: its salt and its checksum are wrong, which is where a reader of
//! the log stops. See "WAL File Format" in SQLite's documentation, <https://sqlite.org/fileformat2.html>.

use std::{
    error::Error,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use domain::ports::BackendError;
use rusqlite::Connection;

use super::Disk;

/// The size up to which the log grows in general: 1,000 pages of 4 KiB, after which SQLite moves them
/// into the database, with 24 bytes for each, and room for the transaction that reaches this number. Bytes.
const SIZE: u64 = 4_400 << 10;

/// Enlarges the log by zeros, unless little room is left on the disk. If that fails, commits take longer until
/// the first checkpoint, and nothing else changes.
pub(super) fn enlarge(db: &Connection, log: &Path, disk: &Disk) {
    disk.check(db);
    if disk.is_low() {
        return;
    }
    if let Err(error) = enlarge_locked(db, log) {
        let error: &dyn Error = &error;
        tracing::warn!(
            error,
            "failed to enlarge the log of the database; commits take longer at first"
        );
    }
}

fn enlarge_locked(db: &Connection, log: &Path) -> Result<(), BackendError> {
    let failed = |error| BackendError::new("locking the log of the database", error);
    // Only the owner of this lock writes to the log.
    db.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let enlarged = append_zeros(log);
    db.execute_batch("ROLLBACK").map_err(failed)?;
    enlarged.map_err(|error| BackendError::new("writing to the log of the database", error))
}

/// Appends zeros up to the size, or nothing if there is no room for all of them. An unwritten range
/// (fallocate) would not do: its first use changes the file's blocks again.
fn append_zeros(log: &Path) -> io::Result<()> {
    let mut file = File::options().append(true).open(log)?;
    let present = file.metadata()?.len();
    let missing = SIZE.saturating_sub(present);
    io::copy(&mut io::repeat(0).take(missing), &mut file)
        .and_then(|_| file.sync_all())
        .or_else(|error| file.set_len(present).and(Err(error)))
}
