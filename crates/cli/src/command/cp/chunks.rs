//! Bytes between a thread that reads or writes files, and a request.

use std::{
    io::{self, Read, Write},
    thread,
};

use futures::{Stream, stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many bytes are read at once.
pub(super) const CHUNK: usize = 256 << 10;
/// How many chunks wait for the slower side.
const WAITING: usize = 4;

/// The receiver has gone; it knows why.
fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// What a thread writes, as a stream. The thread ends when the stream is dropped.
pub(super) fn written_by(
    write: impl FnOnce(&mut ChunkWriter) -> io::Result<()> + Send + 'static,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
    let (chunks, received) = channel(WAITING);
    // Not a thread of the runtime, whose end would wait for a read of standard input.
    thread::spawn(move || {
        let mut writer = ChunkWriter { chunks, chunk: Vec::new() };
        let written = write(&mut writer).and_then(|()| writer.flush());
        if let Err(error) = written {
            // Fails if nobody waits for the bytes any more.
            let _ = writer.chunks.blocking_send(Err(error));
        }
    });
    stream::unfold(received, async |mut received| {
        let chunk = received.recv().await?;
        Some((chunk, received))
    })
}

/// Gathers bytes to chunks.
pub(super) struct ChunkWriter {
    chunks: Sender<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.chunks.blocking_send(Ok(chunk)).map_err(|_| gone())
    }
}

/// Chunks for a thread that reads them.
pub(super) fn for_thread() -> (Sender<Vec<u8>>, ChunkReader) {
    let (sender, chunks) = channel(WAITING);
    (sender, ChunkReader { chunks, chunk: Vec::new(), read: 0 })
}

/// Reads chunks as one sequence of bytes.
pub(super) struct ChunkReader {
    chunks: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    read: usize,
}

impl Read for ChunkReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read == self.chunk.len() {
            let Some(chunk) = self.chunks.blocking_recv() else { return Ok(0) };
            (self.chunk, self.read) = (chunk, 0);
        }
        let count = self.chunk.get(self.read..).unwrap_or_default().read(out)?;
        self.read += count;
        Ok(count)
    }
}
