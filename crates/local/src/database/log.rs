//! The write-ahead log of the database, which gets its full size before it is needed.
//!
//! A commit writes behind the end of the log's frames and waits for the disk. If the file grows by that, the
//! file system stores its new size and the place of its new blocks as well, which takes longer than the
//! data itself. After a checkpoint SQLite begins at the start of the log again, unless a reader still needs it, so in
//! general only a new log grows. Zeros behind the last frame are no frame: its salt and its checksum are wrong, which
//! is where a reader of the log stops. See "WAL File Format" in SQLite's documentation,
//! <https://sqlite.org/fileformat2.html>.

use std::{
    error::Error,
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use domain::ports::BackendError;
use rusqlite::Connection;

use super::{Disk, LOG_LIMIT};

/// The size up to which the log grows in general: 1,000 pages of 4 KiB, after which SQLite moves them
/// into the database, with 24 bytes for each, and room for the transaction that reaches this number. Bytes.
const SIZE: u64 = 4_400 << 10;
// Beyond this limit SQLite shortens the log, and then it would grow again.
const _: () = assert!(SIZE < LOG_LIMIT as u64);
/// How many zeros are written at once. Bytes.
const PIECE: u64 = 1 << 20;

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
            "failed to enlarge the log of the database; the server works nevertheless, but commits take \
             longer until about a thousand pages are written"
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
///
/// To close a descriptor releases all POSIX locks that the process has on that file. The log may be opened and
/// closed here nevertheless: SQLite locks the database itself and the file `-shm`, and never the log.
fn append_zeros(log: &Path) -> io::Result<()> {
    let mut file = File::options().append(true).open(log)?;
    let present = file.metadata()?.len();
    write_zeros(&mut file, SIZE.saturating_sub(present))
        .and_then(|()| file.sync_all())
        .or_else(|error| file.set_len(present).and(Err(error)))
}

fn write_zeros(file: &mut File, mut count: u64) -> io::Result<()> {
    let zeros = vec![0; PIECE as usize];
    while count > 0 {
        let length = count.min(PIECE);
        file.write_all(&zeros[..length as usize])?;
        count -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use rustix::mount::{self, FsMountFlags, FsOpenFlags, MountAttrFlags};
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::database::{FILE, LOG, open_writer};

    /// A new database, whose log has one transaction.
    fn open() -> (TempDir, Connection) {
        let dir = tempdir().unwrap();
        let db = open_writer(&dir.path().join(FILE)).unwrap();
        db.execute_batch("CREATE TABLE number (value)").unwrap();
        (dir, db)
    }

    #[test]
    fn a_log_is_enlarged_once() {
        let (dir, db) = open();
        let log = dir.path().join(LOG);
        for _ in 0..2 {
            enlarge(&db, &log, &Disk::of(dir.path()));
            assert_eq!(log.metadata().unwrap().len(), SIZE);
        }
        assert_eq!(std::fs::read(&log).unwrap().last(), Some(&0));
    }

    #[test]
    fn a_log_that_cannot_be_enlarged_does_not_stop_the_writer() {
        let (dir, db) = open();
        let missing = dir.path().join("missing");
        enlarge_locked(&db, &missing).unwrap_err();
        enlarge(&db, &missing, &Disk::of(dir.path()));
        assert!(!missing.exists());
        db.execute_batch("BEGIN IMMEDIATE; INSERT INTO number VALUES (1); COMMIT").unwrap();
    }

    /// The root directory of a new file system with 8 MiB, less than a server wants to have free.
    fn small_tmpfs() -> rustix::io::Result<rustix::fd::OwnedFd> {
        let context = mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        mount::fsconfig_set_string(&context, "size", "8m")?;
        mount::fsconfig_create(&context)?;
        mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    }

    #[test]
    fn a_log_is_not_enlarged_while_little_room_is_left() {
        let root = match small_tmpfs() {
            Ok(root) => root,
            Err(error) => return println!("SKIPPED: no file system can be mounted: {error}"),
        };
        let full = Path::new("/proc/self/fd").join(root.as_raw_fd().to_string());
        let (dir, db) = open();
        let log = dir.path().join(LOG);
        let before = log.metadata().unwrap().len();
        enlarge(&db, &log, &Disk::of(&full));
        assert_eq!(log.metadata().unwrap().len(), before);
    }
}
