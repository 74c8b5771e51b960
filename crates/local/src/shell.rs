//! Connects to the runner inside a sandbox over the unix socket that it shares with this host.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use adapters::shell::{DataChannel, Dial, Transport};
use async_trait::async_trait;
use domain::{
    JobId, TaskId, Timestamp,
    ports::{BackendError, ShellError},
};
use rustix::net::sockopt;
use tokio::net::UnixStream;

use crate::data_channels::{DataChannels, Terminal};

/// The longest path of a socket in bytes, with its final NUL (`sun_path` in unix(7)).
const MAX_SOCKET_PATH: usize = 108;

/// The size of the buffer that is requested of the kernel for what is sent to a runner. The kernel doubles it, to 1 MiB,
/// and counts its own overhead in that; see SO_SNDBUF in socket(7). Bytes.
const SEND_BUFFER: usize = 512 << 10;

/// What this host knows of its tasks. Answers come from memory.
pub trait Tasks: Send + Sync {
    /// The path of the socket on which the task's runner listens. It may not exist yet, or no more.
    fn socket(&self, task: &TaskId) -> PathBuf;
    /// Whether the task has stopped or never existed.
    fn is_gone(&self, task: &TaskId) -> bool;
    /// How many processes of the task the kernel has killed for memory.
    fn memory_kills(&self, task: &TaskId) -> u64;
    /// Moves the end of the task. This may take as long as writing a file.
    fn set_deadline(&self, task: &TaskId, after: Duration);
}

/// Connects to the sockets of tasks on this host.
#[derive(Clone)]
pub struct UnixDial {
    tasks: Arc<dyn Tasks>,
    channels: DataChannels,
}

impl UnixDial {
    /// Connects to the sockets of these tasks, and offers channels to their terminals.
    pub fn new(tasks: Arc<dyn Tasks>, channels: DataChannels) -> Self {
        Self { tasks, channels }
    }
}

#[async_trait]
impl Dial for UnixDial {
    async fn open(&self, task: &TaskId) -> Result<Box<dyn Transport>, ShellError> {
        match connect(&self.tasks.socket(task)).await {
            Ok(stream) => {
                enlarge_buffer(&stream);
                Ok(Box::new(stream))
            }
            Err(_) if self.tasks.is_gone(task) => Err(ShellError::Gone),
            Err(error) if nothing_listens(&error) => Err(ShellError::NotReady),
            Err(error) => Err(BackendError::new("connecting to a runner", error).into()),
        }
    }

    async fn is_gone(&self, task: &TaskId) -> bool {
        self.tasks.is_gone(task)
    }

    async fn set_deadline(&self, task: &TaskId, after: Duration) {
        let (tasks, task) = (Arc::clone(&self.tasks), task.clone());
        let set = tokio::task::spawn_blocking(move || tasks.set_deadline(&task, after));
        // It fails only while the process ends.
        let _process_ends = set.await;
    }

    fn memory_kills(&self, task: &TaskId) -> u64 {
        self.tasks.memory_kills(task)
    }

    fn proves_unread(&self, error: &io::Error) -> bool {
        // A unix socket reports a reset if its peer was closed before it had read everything, and a
        // broken pipe for bytes that can't reach it any more.
        matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
    }

    fn keep_idle(&self) -> Duration {
        // A new connection takes microseconds.
        Duration::ZERO
    }

    async fn offer_terminal(
        &self,
        task: &TaskId,
        job: JobId,
        until: Timestamp,
    ) -> Result<DataChannel, ShellError> {
        let terminal = Terminal { task: task.clone(), job };
        self.channels.offer(terminal, until).ok_or(ShellError::NotReady)
    }
}

fn nothing_listens(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Lets the kernel hold some pieces of a file, so that neither side waits for each of them. Beyond the limit of
/// the host only root may.
fn enlarge_buffer(stream: &UnixStream) {
    if sockopt::set_socket_send_buffer_size_force(stream, SEND_BUFFER).is_err()
        && let Err(error) = sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER)
    {
        tracing::debug!(%error, "failed to enlarge the send buffer of a connection to a runner");
    }
}

/// Connects to the socket at this path, however long that is.
async fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() < MAX_SOCKET_PATH {
        return UnixStream::connect(path).await;
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    // The path through the open directory in /proc is short.
    let dir = File::open(dir)?;
    let short = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    UnixStream::connect(short).await
}

impl std::fmt::Debug for UnixDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnixDial").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
