//! Ranges of host ids for sandboxes, when the server is root: each sandbox has a block of uids and gids
//! that no account of the host and no other sandbox has.

use std::fmt;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::task::TaskId;

/// Number of ids of a block: those that an image's users may have, and one for the runner.
pub(crate) const BLOCK: u32 = 65_536;
/// A user of this name in subuid(5) and subgid(5) reserves a range for this program.
const OWNER: &str = "ephemeral";
/// The directory in which drivers agree on who uses which block. It is lost with the host, as all
/// sandboxes are.
const SHARED_DIR: &str = "/run/ephemeral";

/// The host uids, and the gids of the same numbers, from which sandboxes get theirs.
///
/// Its text form is `FIRST-LAST`. Both ends are multiples of 65536 (`LAST` is one less than one), so that
/// blocks of different servers are either the same or disjoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidRange {
    first: u32,
    last: u32,
}

/// The block of one sandbox.
///
/// The first id is the runner's. Each id of the image follows at a distance of one more than itself, so
/// that commands, which have only those, don't have the runner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Block {
    first: u32,
}

/// The text is not a range of uids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a range of uids: expected FIRST-LAST with FIRST and LAST+1 multiples of 65536 between 65536 and \
     2^32, such as {}",
    UidRange::default()
)]
pub struct UidRangeError;

impl Default for UidRange {
    /// 2046 blocks that systemd's table of uids has no use for. They are above the ranges of useradd(8)
    /// (up to 600,100,000), of systemd-nspawn (up to 1,879,048,191) and, by default, of sssd (up to
    /// 2,000,200,000), and below 2^31, where some programs take a uid for a negative number.
    fn default() -> Self {
        Self { first: 0x7800_0000, last: 0x7FFD_FFFF }
    }
}

impl FromStr for UidRange {
    type Err = UidRangeError;

    fn from_str(text: &str) -> Result<Self, UidRangeError> {
        let (first, last) = text.split_once('-').ok_or(UidRangeError)?;
        let first: u32 = first.parse().map_err(|_| UidRangeError)?;
        let last: u32 = last.parse().map_err(|_| UidRangeError)?;
        // The highest id means "no id".
        let is_aligned = first.is_multiple_of(BLOCK) && last % BLOCK == BLOCK - 1;
        let is_valid = is_aligned && first >= BLOCK && first < last && last != u32::MAX;
        is_valid.then_some(Self { first, last }).ok_or(UidRangeError)
    }
}

impl fmt::Display for UidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl UidRange {
    /// How many sandboxes can have a block at once.
    pub(crate) fn blocks(self) -> u32 {
        (self.last - self.first) / BLOCK + 1
    }

    /// The block with this number, from 0 on.
    pub(crate) fn block(self, number: u32) -> Block {
        Block { first: self.first + number * BLOCK }
    }

    fn overlaps(self, first: u32, count: u32) -> bool {
        count > 0 && first <= self.last && first.saturating_add(count - 1) >= self.first
    }

    /// What on this host has ids in the range, if anything.
    pub(crate) fn conflict(self) -> Option<String> {
        let accounts = ["/etc/passwd", "/etc/group"].into_iter().find_map(|file| {
            let name = self.account(&fs::read_to_string(file).unwrap_or_default())?;
            Some(format!("{name} in {file}"))
        });
        accounts.or_else(|| {
            ["/etc/subuid", "/etc/subgid"].into_iter().find_map(|file| {
                let name = self.subordinate(&fs::read_to_string(file).unwrap_or_default())?;
                Some(format!("the subordinate ids of {name} in {file}"))
            })
        })
    }

    /// The name of an account of passwd(5) or group(5) with an id in this range.
    fn account(self, table: &str) -> Option<String> {
        table.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let id = fields.nth(1)?.parse().ok()?;
            self.overlaps(id, 1).then(|| name.to_owned())
        })
    }

    /// The owner of a range of subuid(5) that overlaps with this one.
    fn subordinate(self, table: &str) -> Option<String> {
        table.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| *name != OWNER)?;
            let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.trim());
            self.overlaps(first, count.parse().ok()?).then(|| name.to_owned())
        })
    }
}

impl Block {
    pub(crate) fn at(first: u32) -> Self {
        Self { first }
    }

    /// The host's uid and gid of the runner.
    pub(crate) fn runner(self) -> u32 {
        self.first
    }

    /// The host's id of an id of the image. Higher ids than an image may have get nobody's.
    pub(crate) fn host_id(self, id: u32) -> u32 {
        const NOBODY: u32 = 65_534;
        self.first + 1 + if id < BLOCK - 1 { id } else { NOBODY }
    }

    pub(crate) fn contains(self, id: u32) -> bool {
        (self.first..=self.first + (BLOCK - 1)).contains(&id)
    }
}

/// The blocks of one driver's range. A file for each block in use names the record of its task.
#[derive(Debug)]
pub(crate) struct Blocks {
    range: UidRange,
    dir: PathBuf,
    /// The directory of the driver's records.
    records: PathBuf,
}

impl Blocks {
    pub(crate) fn open(range: UidRange, records: PathBuf) -> io::Result<Self> {
        let shared = Path::new(SHARED_DIR);
        // Commands of the launcher, which run as a sandbox's own user, pass through it.
        directory(shared, 0o711)?;
        directory(&stage(), 0o700)?;
        Self::open_in(shared.join("uids"), range, records)
    }

    fn open_in(dir: PathBuf, range: UidRange, records: PathBuf) -> io::Result<Self> {
        directory(&dir, 0o700)?;
        let blocks = Self { range, dir, records };
        blocks.reclaim()?;
        Ok(blocks)
    }

    /// Reserves a block for a task that has a record.
    ///
    /// # Errors
    /// `QuotaExceeded` if all blocks of the range are in use.
    pub(crate) fn claim(&self, id: &TaskId) -> io::Result<Block> {
        let count = self.range.blocks();
        // A link appears with its content, and only where no file is.
        let new = self.dir.join(format!("{id}.new"));
        fs::write(&new, self.owner(id).as_os_str().as_encoded_bytes())?;
        let claimed = self.claim_by(&new, id, count);
        fs::remove_file(new)?;
        claimed
    }

    fn claim_by(&self, new: &Path, id: &TaskId, count: u32) -> io::Result<Block> {
        // Spreads the blocks, so that the ids of a sandbox that ended are not reused at once.
        let hash = digest::hex(id.as_str().as_bytes(), 8);
        let start = u32::from_str_radix(&hash, 16).unwrap_or(0) % count;
        for number in (start..count).chain(0..start) {
            let block = self.range.block(number);
            match fs::hard_link(new, self.file(block)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => return linked.map(|()| block),
            }
        }
        let message = format!("all {count} blocks of --uid-range {} are in use", self.range);
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, message))
    }

    /// Gives the block of a sandbox that was made before its task to the task, which has a record.
    pub(crate) fn transfer(&self, block: Block, to: &TaskId) -> io::Result<()> {
        let new = self.dir.join(format!("{to}.new"));
        fs::write(&new, self.owner(to).as_os_str().as_encoded_bytes())?;
        fs::rename(new, self.file(block))
    }

    /// Frees the block of a task whose sandbox was removed.
    pub(crate) fn release(&self, id: &TaskId, block: Block) {
        let file = self.file(block);
        if fs::read(&file).is_ok_and(|owner| owner == self.owner(id).as_os_str().as_encoded_bytes())
        {
            // A claim that is left is reclaimed by the next driver.
            let _ = fs::remove_file(file);
        }
    }

    /// Frees the blocks of this driver that no task in `used` has.
    pub(crate) fn release_unused(&self, used: &[Block]) -> io::Result<()> {
        for (block, owner) in self.claims()? {
            if owner.starts_with(&self.records) && !used.contains(&block) {
                self.free(block)?;
            }
        }
        Ok(())
    }

    /// Frees the blocks of drivers whose records were deleted, if no process uses them any more.
    fn reclaim(&self) -> io::Result<()> {
        let lock = File::open(&self.dir)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
        for (block, owner) in self.claims()? {
            if !owner.exists() && !is_in_use(block)? {
                self.free(block)?;
            }
        }
        Ok(())
    }

    /// Frees a block, unless its driver has done so meanwhile.
    fn free(&self, block: Block) -> io::Result<()> {
        match fs::remove_file(self.file(block)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn claims(&self) -> io::Result<Vec<(Block, PathBuf)>> {
        let mut claims = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Some(first) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            match fs::read_to_string(entry.path()) {
                Ok(owner) => claims.push((Block { first }, owner.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(claims)
    }

    fn owner(&self, id: &TaskId) -> PathBuf {
        self.records.join(format!("{id}.json"))
    }

    fn file(&self, block: Block) -> PathBuf {
        self.dir.join(block.first.to_string())
    }
}

/// Where a launcher mounts the directory of its sandbox, in its own mount namespace. A user of a block can
/// reach it, unlike the directory of the driver.
pub(crate) fn stage() -> PathBuf {
    Path::new(SHARED_DIR).join("stage")
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        done => done?,
    }
    // Whatever the umask, or the mode that an earlier process has given it.
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Whether a process has a uid of the block.
fn is_in_use(block: Block) -> io::Result<bool> {
    let mut processes = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.metadata().ok());
    Ok(processes.any(|process| block.contains(process.uid())))
}

#[cfg(test)]
mod tests;
