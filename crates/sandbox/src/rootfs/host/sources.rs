//! Tells whether what a snapshot was made from has changed.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A change within this time before a snapshot may have the same time stamp as a change after it.
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// The files and directories that a snapshot was made from, with their states before they were read.
/// Symbolic links need no entry, because a change of one changes its directory.
#[derive(Debug)]
pub(super) struct Sources {
    states: Vec<(PathBuf, Option<State>)>,
    taken_at: Duration,
}

/// Inode, and the time of its last change of content or attributes in seconds and nanoseconds.
type State = (u64, i64, i64);

impl Default for Sources {
    fn default() -> Self {
        let taken_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { states: Vec::new(), taken_at }
    }
}

impl Sources {
    /// Adds a file or directory, which need not exist. Must be called before it is read.
    pub(super) fn add(&mut self, path: &Path) {
        self.states.push((path.to_owned(), state(path)));
    }

    pub(super) fn are_unchanged(&self) -> bool {
        let same = |(path, state): &(PathBuf, _)| self::state(path) == *state;
        let limit = self.taken_at.saturating_sub(CLOCK_TICK);
        let is_settled = |(_, state): &(_, Option<State>)| {
            state.is_none_or(|(_, seconds, nanos)| {
                let changed = u64::try_from(seconds).unwrap_or(0);
                let nanos = u32::try_from(nanos).unwrap_or(0);
                Duration::new(changed, nanos) < limit
            })
        };
        self.states.iter().all(|source| is_settled(source) && same(source))
    }
}

fn state(path: &Path) -> Option<State> {
    let found: Metadata = fs::symlink_metadata(path).ok()?;
    Some((found.ino(), found.ctime(), found.ctime_nsec()))
}
