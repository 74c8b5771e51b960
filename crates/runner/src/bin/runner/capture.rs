//! Captures one output stream of a running job: moves bytes from its pipe into its file.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use runner::protocol::Total;
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

/// Largest number of bytes discarded per poll, so that one job can't starve the others.
const SPLICE_BYTES: usize = 1 << 20;

/// What all captures share: a buffer for bytes to keep, and a target for bytes to discard.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) buffer: Box<[u8]>,
    /// `/dev/null`, into which splice(2) moves pages without copying them.
    pub(crate) null: File,
}

#[derive(Debug)]
pub(crate) struct Capture {
    /// `None` after the end of the stream.
    pipe: Option<OwnedFd>,
    file: Rc<File>,
    total: Total,
    /// Largest number of bytes to keep; lowered to the bytes already kept when the disk is full.
    cap: u64,
}

impl Capture {
    pub(crate) fn new(pipe: OwnedFd, file: File, cap: u64) -> Self {
        Self { pipe: Some(pipe), file: Rc::new(file), total: Total::default(), cap }
    }

    pub(crate) fn file(&self) -> Rc<File> {
        Rc::clone(&self.file)
    }

    pub(crate) fn total(&self) -> Total {
        self.total
    }

    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what the pipe contains, up to a limit; never blocks.
    pub(crate) fn drain(&mut self, scratch: &mut Scratch) {
        let Some(pipe) = &self.pipe else { return };
        let room = self.cap - self.total.kept;
        let taken = if room > 0 {
            let limit = scratch.buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            rustix::io::read(pipe, &mut scratch.buffer[..limit])
        } else {
            discard(pipe, scratch)
        };
        match taken {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                self.total.bytes += count as u64;
                if room > 0 {
                    self.keep(&scratch.buffer[..count]);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // A pipe has no other errors; keeping it open would make the loop spin.
            Err(_) => self.pipe = None,
        }
    }

    fn keep(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.file.write_at(bytes, self.total.kept) {
                Ok(0) | Err(_) => {
                    self.cap = self.total.kept;
                    return;
                }
                Ok(count) => {
                    self.total.kept += count as u64;
                    bytes = &bytes[count..];
                }
            }
        }
    }
}

fn discard(pipe: &OwnedFd, scratch: &mut Scratch) -> Result<usize, Errno> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    match rustix::pipe::splice(pipe, None, &scratch.null, None, SPLICE_BYTES, flags) {
        // Some kernels and sandboxes (gVisor) do not support splice here.
        Err(Errno::INVAL | Errno::NOSYS) => rustix::io::read(pipe, &mut scratch.buffer[..]),
        taken => taken,
    }
}

impl Scratch {
    const BYTES: usize = 64 << 10;

    pub(crate) fn new() -> io::Result<Self> {
        let null = File::options().write(true).open("/dev/null")?;
        Ok(Self { buffer: vec![0; Self::BYTES].into(), null })
    }
}
