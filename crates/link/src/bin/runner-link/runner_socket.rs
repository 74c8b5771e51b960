//! Connections to the runner's socket.

use std::{io, path::Path, time::Duration};

use runner::protocol::{Decoder, Event, Message, Request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
    task::AbortHandle,
    time::timeout,
};

/// How many bytes are read at once at most.
const READ_BYTES: usize = 64 << 10;
/// How long the answer to a request is awaited.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// An event of a connection; `None` at its end.
pub(crate) struct Heard {
    pub(crate) connection: u64,
    pub(crate) event: Option<Event>,
}

/// A connection that follows a job, and reads no faster than it is told. Dropping it closes it.
pub(crate) struct Connection {
    wanted: mpsc::UnboundedSender<()>,
    task: AbortHandle,
}

impl Connection {
    pub(crate) fn open(
        socket: &Path,
        number: u64,
        request: &Request,
        heard: mpsc::UnboundedSender<Heard>,
    ) -> Self {
        let (wanted, wants) = mpsc::unbounded_channel();
        let (socket, request) = (socket.to_owned(), request.encode());
        let task = tokio::spawn(async move {
            // Fails only if this process is about to end.
            let tell = |event| heard.send(Heard { connection: number, event }).is_ok();
            if let Ok(request) = request {
                // However it ended: it is opened again if the job goes on.
                let _ended = follow(&socket, &request, wants, |event| tell(Some(event))).await;
            }
            tell(None);
        });
        Self { wanted, task: task.abort_handle() }
    }

    /// Reads one event.
    pub(crate) fn read(&self) {
        // Fails if the connection was lost, which is an event of its own.
        let _ = self.wanted.send(());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    socket: &Path,
    request: &[u8],
    mut wants: mpsc::UnboundedReceiver<()>,
    tell: impl Fn(Event) -> bool,
) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(request).await?;
    let (mut decoder, mut buffer) = (Decoder::default(), Vec::new());
    while wants.recv().await.is_some() {
        let event = next(&mut stream, &mut decoder, &mut buffer).await?;
        if !tell(event) {
            break;
        }
    }
    Ok(())
}

/// Sends a request; its answer is awaited, so that it is not taken for a request of a caller that left, but
/// does not matter.
pub(crate) fn request(socket: &Path, request: &Request) {
    let (socket, request) = (socket.to_owned(), request.encode());
    tokio::spawn(timeout(ANSWER_TIMEOUT, async move {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(&request.map_err(io::Error::other)?).await?;
        next(&mut stream, &mut Decoder::default(), &mut Vec::new()).await
    }));
}

async fn next(
    stream: &mut UnixStream,
    decoder: &mut Decoder<Event>,
    buffer: &mut Vec<u8>,
) -> io::Result<Event> {
    loop {
        if let Some(event) = decoder.next().map_err(io::Error::other)? {
            return Ok(event);
        }
        buffer.reserve(READ_BYTES);
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        decoder.feed(buffer);
        buffer.clear();
    }
}
