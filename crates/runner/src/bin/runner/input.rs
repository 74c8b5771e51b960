//! Feeds a command's standard input through a pipe.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// The bytes that a command has not read yet. Dropping it closes the pipe, which the command sees as
/// end of file.
#[derive(Debug)]
pub(crate) struct Input {
    pipe: OwnedFd,
    bytes: Vec<u8>,
    written: usize,
}

impl Input {
    /// Writes as much as the pipe takes; `None` if that is all.
    pub(crate) fn new(pipe: OwnedFd, bytes: Vec<u8>) -> Option<Self> {
        Self { pipe, bytes, written: 0 }.feed()
    }

    pub(crate) fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Writes as much as the pipe takes; `None` if nothing is left, or no process reads the pipe.
    pub(crate) fn feed(mut self) -> Option<Self> {
        while self.written < self.bytes.len() {
            match rustix::io::write(&self.pipe, &self.bytes[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Some(self),
                Err(_) => return None,
            }
        }
        None
    }
}
