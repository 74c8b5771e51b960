//! Output of a command that is not stored yet.

use domain::{
    JobId, Secret,
    job::{Gap, StreamStats},
    ports::{Stream, Write},
};

/// The most bytes of a UTF-8 character that follow its first byte.
const CONTINUATION_BYTES: usize = 3;

/// The gathered output: at most one piece of each stream, however often the streams alternate.
#[derive(Default)]
pub(super) struct OutputBuffer {
    stdout: Piece,
    stderr: Piece,
}

/// Bytes behind what is stored of a stream.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    /// The gap of the stream, if the runner skipped it since the last write.
    gap: Option<Gap>,
}

impl OutputBuffer {
    /// Adds the part of `bytes` that is new: after a reconnection the runner may repeat output.
    /// `stored` are the statistics of stdout and stderr on record.
    pub(super) fn add(
        &mut self,
        stored: (StreamStats, StreamStats),
        stream: Stream,
        offset: u64,
        bytes: Vec<u8>,
    ) {
        let (stored, piece) = match stream {
            Stream::Stdout => (stored.0, &mut self.stdout),
            Stream::Stderr => (stored.1, &mut self.stderr),
        };
        piece.add(stored, offset, bytes);
    }

    /// The gathered output of both streams. Bytes.
    pub(super) const fn len(&self) -> usize {
        self.stdout.bytes.len() + self.stderr.bytes.len()
    }

    /// The statistics once the gathered output is stored.
    pub(super) fn advance(
        &self,
        (stdout, stderr): (StreamStats, StreamStats),
    ) -> (StreamStats, StreamStats) {
        (self.stdout.advance(stdout), self.stderr.advance(stderr))
    }

    /// The writes that store the gathered output behind what is on record.
    pub(super) fn writes(
        &self,
        job: JobId,
        (stdout, stderr): (StreamStats, StreamStats),
    ) -> Vec<Write> {
        let pieces =
            [(Stream::Stdout, stdout, &self.stdout), (Stream::Stderr, stderr, &self.stderr)];
        let filled = pieces.into_iter().filter(|(_, _, piece)| !piece.bytes.is_empty());
        let write = |(stream, stats, piece): (Stream, StreamStats, &Piece)| Write::Output {
            job,
            stream,
            offset: stats.stored,
            bytes: Secret::new(piece.bytes.clone()),
        };
        filled.map(write).collect()
    }

    /// Drops the gathered output, which is stored now.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Piece {
    fn add(&mut self, stored: StreamStats, offset: u64, mut bytes: Vec<u8>) {
        let have = self.advance(stored);
        let end = have.end();
        let skipped = if offset <= end {
            usize::try_from(end - offset).unwrap_or(usize::MAX)
        } else if have.gap.is_none() {
            // A stream that is cut may go on within a character, whose rest is of no use.
            continuation(&bytes)
        } else {
            return;
        };
        if skipped >= bytes.len() {
            return;
        }
        if offset > end {
            self.gap = Some(Gap { from: end, to: offset + skipped as u64 });
        }
        bytes.drain(..skipped);
        self.bytes.append(&mut bytes);
    }

    fn advance(&self, stored: StreamStats) -> StreamStats {
        StreamStats { gap: stored.gap.or(self.gap), ..stored }.plus(self.bytes.len() as u64)
    }
}

/// How many bytes at the beginning belong to a UTF-8 character that began before them.
fn continuation(bytes: &[u8]) -> usize {
    let rest = bytes.iter().take_while(|byte| (0x80..0xC0).contains(*byte)).count();
    // More of them are not UTF-8.
    if rest > CONTINUATION_BYTES { 0 } else { rest }
}

#[cfg(test)]
mod tests;
