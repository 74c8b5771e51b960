//! The bytes of an archive: as they are received, counted, and limited.

use std::io::{self, Read};

use runner::protocol::files::FromCaller;

use super::super::channel::{Channel, Received};

/// The largest archive without its compression. The disk refuses what is too large for it; this also ends what
/// is not stored, such as zeros after the end of an archive. Bytes.
const MAX_BYTES: u64 = 16 << 30;

/// Fails when more was read than is left.
pub(super) struct Limited<R> {
    bytes: R,
    left: u64,
    /// The first error of reading. It is about the archive, not about the entry that is read meanwhile.
    pub(super) error: Option<String>,
}

impl<R: Read> Limited<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self { bytes, left: MAX_BYTES, error: None }
    }

    fn read_limited(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(out)?;
        let too_large = || {
            let gib = MAX_BYTES >> 30;
            io::Error::other(format!("it has more than {gib} GiB without its compression"))
        };
        self.left = self.left.checked_sub(count as u64).ok_or_else(too_large)?;
        Ok(count)
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.read_limited(out);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.error.get_or_insert_with(|| error.to_string());
        }
        read
    }
}

/// Counts what is read.
pub(super) struct Counted<'a, R> {
    bytes: &'a mut R,
    pub(super) count: u64,
}

impl<'a, R> Counted<'a, R> {
    pub(super) fn new(bytes: &'a mut R) -> Self {
        Self { bytes, count: 0 }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(out)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// The pieces that the caller sends, as one stream of bytes.
pub(super) struct Pieces<'a> {
    channel: &'a mut Channel,
    is_complete: bool,
    /// Whether the caller has gone, or sent something else than pieces.
    pub(super) lost: bool,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(channel: &'a mut Channel) -> Self {
        Self { channel, is_complete: false, lost: false }
    }

    /// The next bytes, at most so many; none at the end, and if the caller is lost.
    fn next(&mut self, most: usize) -> &[u8] {
        if self.is_complete || self.lost {
            return &[];
        }
        match self.channel.receive(most) {
            Ok(Received::Bytes(bytes)) => bytes,
            Ok(Received::Message(FromCaller::End)) => {
                self.is_complete = true;
                &[]
            }
            Ok(Received::Message(FromCaller::Send { .. })) | Err(_) => {
                self.lost = true;
                &[]
            }
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(out.len());
        let count = bytes.len();
        if let Some(out) = out.get_mut(..count) {
            out.copy_from_slice(bytes);
        }
        if self.lost {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_beyond_the_limit_are_an_error_of_the_archive() {
        let read = |count: u64| {
            let bytes = io::repeat(0).take(count);
            let mut limited = Limited { bytes, left: 100_000, error: None };
            (io::copy(&mut limited, &mut io::sink()).ok(), limited.error)
        };
        assert_eq!(read(100_000), (Some(100_000), None));
        let message = "it has more than 16 GiB without its compression".to_owned();
        assert_eq!(read(100_001), (None, Some(message)));
    }
}
