//! Frames over a unix socket.

use std::{fs::File, io, os::fd::AsRawFd, path::Path};

use domain::{
    TaskId,
    ports::{Backend, ShellError},
};
use runner::protocol::{Decoder, Event, Message, Request, Violation};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::Tasks;

/// The kernel takes no longer path for a socket, its final NUL included (`sun_path` in unix(7)).
const MAX_SOCKET_PATH: usize = 108;
const PIECE_BYTES: usize = 64 << 10;

/// Why a connection can't be used.
#[derive(Debug)]
pub(super) enum Broken {
    /// Nobody listens, or the other end went away.
    Closed,
    /// The socket failed in a way that says nothing about the runner.
    Io(io::Error),
    /// One side broke the protocol.
    Protocol(Violation),
}

/// One connection to a runner.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    decoder: Decoder<Event>,
    piece: Vec<u8>,
}

impl Connection {
    /// Connects to the socket at this path, however long that is.
    pub(super) async fn open(path: &Path) -> Result<Self, Broken> {
        let stream = if path.as_os_str().len() < MAX_SOCKET_PATH {
            UnixStream::connect(path).await?
        } else {
            connect_far(path).await?
        };
        Ok(Self { stream, decoder: Decoder::default(), piece: Vec::new() })
    }

    pub(super) async fn send(&mut self, request: &Request) -> Result<(), Broken> {
        let frame = request.encode().map_err(Broken::Protocol)?;
        Ok(self.stream.write_all(&frame).await?)
    }

    /// The next event. Safe to drop: nothing read is lost.
    pub(super) async fn receive(&mut self) -> Result<Event, Broken> {
        loop {
            if let Some(event) = self.decoder.next().map_err(Broken::Protocol)? {
                return Ok(event);
            }
            self.piece.reserve(PIECE_BYTES);
            if self.stream.read_buf(&mut self.piece).await? == 0 {
                return Err(Broken::Closed);
            }
            self.decoder.feed(&self.piece);
            self.piece.clear();
        }
    }
}

/// Goes by way of the open directory, whose name in /proc is short.
async fn connect_far(path: &Path) -> io::Result<UnixStream> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let dir = File::open(dir)?;
    let near = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    UnixStream::connect(near).await
}

impl Broken {
    /// What this means, given what the host knows of the task.
    pub(super) fn seen_from(self, tasks: &dyn Tasks, task: &TaskId) -> ShellError {
        match self {
            _ if tasks.is_gone(task) => ShellError::Gone,
            Self::Closed => ShellError::NotReady,
            Self::Io(error) => Backend::new("talking to a runner", error).into(),
            Self::Protocol(violation) => Backend::new("talking to a runner", violation).into(),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as K;
        let nobody = matches!(
            error.kind(),
            K::NotFound | K::ConnectionRefused | K::ConnectionReset | K::BrokenPipe
        );
        if nobody { Self::Closed } else { Self::Io(error) }
    }
}
