//! Connections to the runner's socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use runner::protocol::{Decoder, Event, Message, ProtocolError, Request};
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

/// What the runner says.
pub(crate) enum Heard {
    /// An event of a connection; `None` at its end.
    Event(u64, Option<Event>),
    /// The answer to a request that was sent with this number; `None` if there was none.
    Answer(u64, Option<Event>),
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
            let tell = |event| heard.send(Heard::Event(number, event)).is_ok();
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

/// Sends a request whose answer does not matter. It is awaited, so that the request is not taken for that of a
/// caller that left.
pub(crate) fn request(socket: &Path, request: &Request) {
    tokio::spawn(answer(socket.to_owned(), request.encode()));
}

/// Sends a request, and tells its answer with this number.
pub(crate) fn ask(
    socket: &Path,
    number: u64,
    request: &Request,
    heard: mpsc::UnboundedSender<Heard>,
) {
    let answer = answer(socket.to_owned(), request.encode());
    tokio::spawn(async move {
        // Fails only if this process is about to end.
        let _ = heard.send(Heard::Answer(number, answer.await));
    });
}

async fn answer(socket: PathBuf, request: Result<Vec<u8>, ProtocolError>) -> Option<Event> {
    let answer = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(&request.map_err(io::Error::other)?).await?;
        next(&mut stream, &mut Decoder::default(), &mut Vec::new()).await
    };
    timeout(ANSWER_TIMEOUT, answer).await.ok()?.ok()
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
