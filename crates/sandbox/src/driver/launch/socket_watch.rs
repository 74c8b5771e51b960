//! Waits for the runner's socket without polling for it.
//!
//! To close an inotify instance that has watched something takes 5 to 25 ms: the kernel waits until no other
//! processor uses its watches. To remove a watch does not wait. So instances are kept for later starts.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// The inotify instances that no start uses at present: at most as many as there were starts at once.
#[derive(Debug, Default)]
pub(in super::super) struct SocketWatches(Mutex<Vec<OwnedFd>>);

/// Reports that the socket was created or made ready. The runner changes its mode after it listens.
pub(super) struct SocketWatch<'a> {
    watches: &'a SocketWatches,
    /// The instance and the number of its watch, if the directory could be watched.
    watch: Option<(OwnedFd, i32)>,
}

impl SocketWatches {
    /// Watches the directory of this socket. If that fails, only time passes.
    pub(super) fn watch(&self, socket: &Path) -> SocketWatch<'_> {
        SocketWatch { watches: self, watch: self.of_parent(socket) }
    }

    fn of_parent(&self, socket: &Path) -> Option<(OwnedFd, i32)> {
        let dir = socket.parent()?;
        let idle = self.0.lock().pop();
        let new = || inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let instance = idle.or_else(new)?;
        let events = WatchFlags::CREATE | WatchFlags::ATTRIB;
        match inotify::add_watch(&instance, dir, events) {
            Ok(number) => Some((instance, number)),
            Err(_) => {
                self.0.lock().push(instance);
                None
            }
        }
    }
}

impl SocketWatch<'_> {
    /// Waits for the next event, at most this long. Returns true if the process of this pidfd has ended.
    pub(super) fn wait(&self, process: &impl AsFd, time: Duration) -> bool {
        let Ok(timeout) = Timespec::try_from(time) else { return false };
        let watch = self.watch.iter().map(|(instance, _)| instance.as_fd());
        let mut fds: Vec<PollFd<'_>> = std::iter::once(process.as_fd())
            .chain(watch)
            .map(|fd: BorrowedFd<'_>| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        if poll(&mut fds, Some(&timeout)).is_err() {
            thread::sleep(time);
            return false;
        }
        let has_ended = !fds[0].revents().is_empty();
        if let Some((instance, _)) = &self.watch {
            // The events themselves do not matter, nor whether they are of an earlier start: the caller tries
            // to connect.
            let mut events = [0; 1024];
            let _ = rustix::io::read(instance, &mut events);
        }
        has_ended
    }
}

impl Drop for SocketWatch<'_> {
    fn drop(&mut self) {
        if let Some((instance, number)) = self.watch.take()
            && inotify::remove_watch(&instance, number).is_ok()
        {
            self.watches.0.lock().push(instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_watch_reports_a_new_socket_and_leaves_its_instance_to_the_next_start() {
        let watches = SocketWatches::default();
        let this_process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        for _ in 0..3 {
            let dir = tempdir().unwrap();
            let socket = dir.path().join("socket");
            let watch = watches.watch(&socket);
            let (instance, _) = watch.watch.as_ref().unwrap();
            let has_event = || {
                let mut fds = [PollFd::new(instance, PollFlags::IN)];
                poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
            };
            // What the removal of the watch before has reported.
            watch.wait(&this_process, Duration::ZERO);
            assert!(!has_event());
            fs::write(&socket, "").unwrap();
            assert!(has_event());
            assert!(!watch.wait(&this_process, Duration::from_secs(60)));
            drop(watch);
            assert_eq!(watches.0.lock().len(), 1);
        }
    }

    #[test]
    fn a_directory_that_does_not_exist_costs_no_instance() {
        let watches = SocketWatches::default();
        for _ in 0..3 {
            assert!(watches.watch(Path::new("/missing/socket")).watch.is_none());
        }
        assert_eq!(watches.0.lock().len(), 1);
    }
}
