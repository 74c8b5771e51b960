//! The room on the disk of the data directory.
//!
//! While little room is left, what would store more is refused, and a file that was kept in reserve gives
//! up its room if the disk is filled nevertheless, by others for example. So sessions and jobs can always be
//! ended and cancelled.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use rusqlite::Connection;

/// The name of the file whose room is in reserve.
const RESERVE: &str = "reserve";
const MIB: u64 = 1 << 20;

/// The disk of the data directory.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: PathBuf,
    low: AtomicBool,
    /// The size of the file in reserve at present. Bytes; zero if its room was given up.
    reserve: Mutex<u64>,
}

/// Sizes of a disk. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    total: u64,
    free: u64,
}

impl Room {
    fn of(dir: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(dir)?;
        let size = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { total: size(found.f_blocks), free: size(found.f_bavail) })
    }

    /// With less free room than this, nothing more is stored but ends: a twentieth of the disk, at least
    /// 16 MiB, at most 512 MiB.
    fn low_water(self) -> u64 {
        (self.total / 20).clamp(16 * MIB, 512 * MIB)
    }

    /// The size of the file in reserve.
    fn reserve(self) -> u64 {
        (self.total / 20).clamp(2 * MIB, 16 * MIB)
    }
}

impl Disk {
    /// The disk of this data directory. Its reserve is set apart at the first check.
    pub(super) fn of(dir: &Path) -> Self {
        let reserve = fs::metadata(dir.join(RESERVE)).map_or(0, |found| found.len());
        Self { dir: dir.to_owned(), low: AtomicBool::new(false), reserve: Mutex::new(reserve) }
    }

    /// Whether little room is left.
    pub(crate) fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Measures the room that is left, and sets the reserve apart or gives it up. `db` may reuse the
    /// pages of what was removed, which the file system does not count as free.
    pub(super) fn check(&self, db: &Connection) {
        let room = match Room::of(&self.dir) {
            Ok(room) => room,
            Err(error) => {
                tracing::warn!(%error, "failed to measure the disk of the data directory: {error}");
                return;
            }
        };
        let reusable = reusable(db).unwrap_or_default();
        let low_water = room.low_water();
        // Even where pages can be reused, the log of a commit takes room of its own.
        let is_low = room.free + reusable < low_water || room.free < low_water / 4;
        if self.low.swap(is_low, Ordering::Relaxed) != is_low {
            log_change(is_low, room.free, low_water);
        }
        if room.free < room.reserve() / 2 {
            self.give_up_reserve();
        } else if room.free > low_water + room.reserve() {
            self.set_apart(room.reserve());
        }
    }

    /// Frees the room of the file in reserve.
    pub(super) fn give_up_reserve(&self) {
        let mut reserve = self.reserve.lock();
        if *reserve == 0 {
            return;
        }
        match File::options().write(true).open(self.path()).and_then(|file| file.set_len(0)) {
            Ok(()) => {
                tracing::error!(
                    bytes = *reserve,
                    "the disk of the data directory is full; gave up {} MiB in reserve, so that \
                     sessions can be ended; free some room",
                    *reserve / MIB
                );
                *reserve = 0;
            }
            Err(error) => tracing::error!(%error, "failed to give up the reserve: {error}"),
        }
    }

    fn set_apart(&self, bytes: u64) {
        let mut reserve = self.reserve.lock();
        if *reserve == bytes {
            return;
        }
        match allocate(&self.path(), bytes) {
            Ok(()) => *reserve = bytes,
            Err(error) => tracing::warn!(%error, "failed to set a reserve apart: {error}"),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(RESERVE)
    }
}

/// Creates a file that really takes this room.
fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        // A file system without this call: zeros take the room too.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut &file).map(drop)
        }
        result => Ok(result?),
    }
}

/// The bytes of the database's unused pages.
fn reusable(db: &Connection) -> rusqlite::Result<u64> {
    let pages: u64 = db.prepare_cached("PRAGMA freelist_count")?.query_one([], |row| row.get(0))?;
    let size: u64 = db.prepare_cached("PRAGMA page_size")?.query_one([], |row| row.get(0))?;
    Ok(pages * size)
}

fn log_change(is_low: bool, free: u64, low_water: u64) {
    let (free, low_water) = (free / MIB, low_water / MIB);
    if is_low {
        tracing::error!(
            free,
            low_water,
            "the disk of the data directory is almost full ({free} MiB free, {low_water} MiB wanted): \
             new sessions and commands are refused, and output is cut, until there is room"
        );
    } else {
        tracing::info!(free, "the disk of the data directory has room again ({free} MiB free)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_follow_the_size_of_the_disk() {
        let marks = |gib: u64| {
            let room = Room { total: gib * 1024 * MIB, free: 0 };
            (room.low_water() / MIB, room.reserve() / MIB)
        };
        assert_eq!([marks(0), marks(1), marks(100)], [(16, 2), (51, 16), (512, 16)]);
    }

    #[test]
    fn the_reserve_takes_real_room_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::of(dir.path());
        disk.set_apart(MIB);
        let blocks = || {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(disk.path()).unwrap().blocks() * 512
        };
        assert!(blocks() >= MIB, "{}", blocks());
        assert_eq!(*Disk::of(dir.path()).reserve.lock(), MIB);
        disk.give_up_reserve();
        assert_eq!((blocks(), *disk.reserve.lock()), (0, 0));
    }
}
