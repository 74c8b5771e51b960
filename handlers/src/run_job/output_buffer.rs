//! Output of a command that is not stored yet.

use domain::{
    JobId, Secret,
    job::StreamStats,
    ports::{Stream, Write},
};

/// The gathered output: at most one piece of each stream, however often the streams alternate.
#[derive(Default)]
pub(super) struct OutputBuffer {
    pieces: Vec<(Stream, Vec<u8>)>,
}

impl OutputBuffer {
    /// Adds the part of `bytes` that is new: after a reconnection the runner may repeat output.
    /// `stored` are the statistics of stdout and stderr on record.
    pub(super) fn add(
        &mut self,
        stored: (StreamStats, StreamStats),
        stream: Stream,
        offset: u64,
        mut bytes: Vec<u8>,
    ) {
        let have = of(stored, stream).stored + self.len_of(stream);
        let known = usize::try_from(have.saturating_sub(offset)).unwrap_or(usize::MAX);
        if offset > have || known >= bytes.len() {
            return;
        }
        bytes.drain(..known);
        match self.pieces.iter_mut().find(|(of, _)| *of == stream) {
            Some((_, piece)) => piece.append(&mut bytes),
            None => self.pieces.push((stream, bytes)),
        }
    }

    /// The gathered output of both streams. Bytes.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// The statistics once the gathered output is stored.
    pub(super) fn advance(
        &self,
        (stdout, stderr): (StreamStats, StreamStats),
    ) -> (StreamStats, StreamStats) {
        (stdout.plus(self.len_of(Stream::Stdout)), stderr.plus(self.len_of(Stream::Stderr)))
    }

    /// The writes that store the gathered output behind what is on record.
    pub(super) fn writes(&self, job: JobId, stored: (StreamStats, StreamStats)) -> Vec<Write> {
        let write = |(stream, bytes): &(Stream, Vec<u8>)| Write::Output {
            job,
            stream: *stream,
            offset: of(stored, *stream).stored,
            bytes: Secret::new(bytes.clone()),
        };
        self.pieces.iter().map(write).collect()
    }

    /// Drops the gathered output, which is stored now.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
    }

    fn len_of(&self, stream: Stream) -> u64 {
        let of_stream = self.pieces.iter().filter(|(of, _)| *of == stream);
        of_stream.map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

const fn of((stdout, stderr): (StreamStats, StreamStats), stream: Stream) -> StreamStats {
    match stream {
        Stream::Stdout => stdout,
        Stream::Stderr => stderr,
    }
}

#[cfg(test)]
mod tests;
