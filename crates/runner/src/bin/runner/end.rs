//! Why a runner ends by itself: its deadline has passed, or the process that owns it has ended. A shell
//! so never outlives a caller that can't stop it any more.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fs::OFlags;

/// How long after the deadline the runner shuts down: its caller normally stops it before, or moves the
/// deadline.
const GRACE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct End {
    /// When to shut down.
    at: Option<Instant>,
    /// The read end of a pipe whose writer is the owner.
    owner: Option<File>,
}

impl End {
    pub(crate) fn open(lifetime: Option<Duration>, owner: Option<&Path>) -> io::Result<Self> {
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let open = |path| OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
        let owner = owner.map(open).transpose().unwrap_or_else(|error| {
            // Some runtimes, such as gVisor, can't open a pipe of the host. The deadline holds all the same.
            let _ = writeln!(io::stderr(), "runner: can't watch the owner of the shell: {error}");
            None
        });
        let mut end = Self { at: None, owner };
        if let Some(lifetime) = lifetime {
            end.set_deadline(lifetime);
        }
        Ok(end)
    }

    /// Moves the deadline to this long from now.
    pub(crate) fn set_deadline(&mut self, after: Duration) {
        // A deadline beyond the clock's range never comes.
        self.at = after.checked_add(GRACE).and_then(|after| Instant::now().checked_add(after));
    }

    pub(crate) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// The descriptor on which poll(2) reports a hangup when the owner ends.
    pub(crate) fn owner(&self) -> Option<BorrowedFd<'_>> {
        self.owner.as_ref().map(AsFd::as_fd)
    }

    /// Whether it is time to shut down. `owner` is the result of poll(2) for [`End::owner`].
    pub(crate) fn is_due(&self, owner: PollFlags, now: Instant) -> bool {
        owner.contains(PollFlags::HUP) || self.at.is_some_and(|at| now >= at)
    }
}
