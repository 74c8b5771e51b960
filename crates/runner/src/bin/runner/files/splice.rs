//! Moves bytes from a socket to a file without copying them through this process.
//!
//! The kernel attaches the memory in which the socket holds them to a pipe, and copies them from there to the
//! file. So they are copied once and not twice. A file that takes nothing from a pipe gets them through a buffer of
//! this process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

use super::error::Failure;

/// The size that is requested for the pipe, and the most bytes of one step. Where the user has too many pipes, the
/// kernel refuses the size, and there are more steps. Bytes.
const PIPE_BYTES: usize = 256 << 10;
/// How many bytes are copied at once to a file that takes none from a pipe.
const COPY_BYTES: usize = 16 << 10;

/// A pipe between a socket and a file. It is empty between two calls.
#[derive(Debug)]
pub(super) struct Splice {
    read: File,
    write: File,
}

impl Splice {
    pub(super) fn new() -> io::Result<Self> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Self { read: read.into(), write: write.into() })
    }

    /// Moves the next bytes, as many as are there and at most so many, and returns how many. Waits until there is
    /// one. `None` if the kernel moves no bytes out of this socket; none is lost then.
    pub(super) fn transfer(
        &mut self,
        socket: impl AsFd,
        file: &mut File,
        most: usize,
    ) -> Result<Option<usize>, Failure> {
        let most = most.min(PIPE_BYTES);
        let count = loop {
            match rustix::pipe::splice(&socket, None, &self.write, None, most, SpliceFlags::MOVE) {
                Ok(0) => return Err(Failure::Lost),
                Ok(count) => break count,
                Err(Errno::INTR) => {}
                Err(error) if is_unsupported(error) => return Ok(None),
                Err(_) => return Err(Failure::Lost),
            }
        };
        let mut left = count;
        while left > 0 {
            match rustix::pipe::splice(&self.read, None, &*file, None, left, SpliceFlags::MOVE) {
                Ok(0) => return Err(Failure::Lost),
                Ok(moved) => left -= moved,
                Err(Errno::INTR) => {}
                Err(error) if is_unsupported(error) => left -= self.copy(file, left)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(count))
    }

    /// Copies bytes out of the pipe, at most so many, and returns how many.
    fn copy(&mut self, file: &mut File, most: usize) -> Result<usize, Failure> {
        let mut bytes = [0; COPY_BYTES];
        let bytes = bytes.get_mut(..most.min(COPY_BYTES)).ok_or(Failure::Lost)?;
        self.read.read_exact(bytes)?;
        file.write_all(bytes)?;
        Ok(bytes.len())
    }
}

/// Whether splice(2) does not know this kind of file or socket, or is not permitted at all.
fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM)
}

#[cfg(test)]
mod tests;
