//! Waits for the runner's socket without polling for it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Reports that the socket was created or made ready. The runner changes its mode after it listens.
pub(super) struct SocketWatch(Option<OwnedFd>);

impl SocketWatch {
    /// Watches the directory of this socket. If that fails, only time passes.
    pub(super) fn new(socket: &Path) -> Self {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let watch = watch.filter(|watch| {
            let events = WatchFlags::CREATE | WatchFlags::ATTRIB;
            socket.parent().is_some_and(|dir| inotify::add_watch(watch, dir, events).is_ok())
        });
        Self(watch)
    }

    /// Waits for the next event, at most this long. Returns true if the process of this pidfd has ended.
    pub(super) fn wait(&self, process: &impl AsFd, time: Duration) -> bool {
        let Ok(timeout) = Timespec::try_from(time) else { return false };
        let watch = self.0.iter().map(AsFd::as_fd);
        let mut fds: Vec<PollFd<'_>> = std::iter::once(process.as_fd())
            .chain(watch)
            .map(|fd: BorrowedFd<'_>| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        if poll(&mut fds, Some(&timeout)).is_err() {
            thread::sleep(time);
            return false;
        }
        let has_ended = !fds[0].revents().is_empty();
        if let Some(watch) = &self.0 {
            // The events themselves do not matter; the caller tries to connect.
            let mut events = [0; 1024];
            let _ = rustix::io::read(watch, &mut events);
        }
        has_ended
    }
}
