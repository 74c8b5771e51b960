//! The limit on the open files of this process, connections included.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most open files that this server needs.
const WANTED: u64 = 65_536;
/// Open files that connections leave to the engine: the database, and a socket for each running command.
const RESERVE: u64 = 512;
/// The most connections, whatever the limit on open files: the buffers of each take memory.
const MAX_CONNECTIONS: u64 = 4096;

/// Raises the soft limit on open files as far as the hard one permits, and returns how many connections
/// the limit leaves room for.
pub(super) fn raise_limit() -> usize {
    let found = getrlimit(Resource::Nofile);
    let wanted = found.maximum.map_or(WANTED, |hard| hard.min(WANTED));
    if found.current.is_some_and(|soft| soft < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: found.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "failed to raise the limit on open files; it limits the connections");
        }
    }
    connections(getrlimit(Resource::Nofile).current)
}

/// How many connections this limit on open files leaves room for; half of it where it is small.
fn connections(open_files: Option<u64>) -> usize {
    let room = open_files.map_or(MAX_CONNECTIONS, |limit| {
        limit.saturating_sub(RESERVE).max(limit / 2).min(MAX_CONNECTIONS)
    });
    usize::try_from(room).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_open_files_to_the_engine() {
        let table = [
            (None, 4096),
            (Some(1_000_000), 4096),
            (Some(2048), 1536),
            (Some(1024), 512),
            (Some(64), 32),
        ];
        for (open_files, expected) in table {
            assert_eq!(connections(open_files), expected, "{open_files:?}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let room = raise_limit();
        let limit = getrlimit(Resource::Nofile);
        let wanted = limit.maximum.map_or(WANTED, |hard| hard.min(WANTED));
        assert!(limit.current.is_none_or(|soft| soft >= wanted), "{limit:?}");
        assert_eq!(room, connections(limit.current));
    }
}
