//! The driver's configuration and its errors.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::image::ImageError;
use crate::uid_range::UidRange;

/// Configuration of a driver.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory for the driver's exclusive use.
    pub root: PathBuf,
    /// The binary whose subcommand `runtime` calls [`runtime_main`](crate::runtime_main).
    pub exe: PathBuf,
    pub runtime: Runtime,
    pub image: Image,
    /// Time from SIGTERM to the runner until SIGKILL.
    pub grace: Duration,
    /// The host's uids and gids for sandboxes, if this process is root.
    pub uid_range: UidRange,
    /// Whether commands may run as root inside of a sandbox. Needs a container and a server that is root.
    pub allow_root: bool,
    /// What sandboxes with [`Network::Egress`](crate::Network::Egress) can reach.
    pub egress: Egress,
    /// What all sandboxes may use together.
    pub budget: Budget,
    /// Whether sandboxes end with this process, also when it is killed. By default they run on, and the
    /// next driver finds them.
    pub end_with_driver: bool,
}

/// The OCI runtime that creates containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    /// libcontainer, in the program named by [`Config::exe`].
    BuiltIn,
    /// An OCI runtime with the command line of `runc`.
    Program(PathBuf),
    /// No container: commands run on the host itself, as the user `shelluser` if the server is root and
    /// else as the server's user. Must be requested explicitly.
    Bare,
}

/// What sandboxes with a network can reach. Never the host's loopback interface, and never the metadata
/// services of clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Egress {
    /// No sandbox gets a network.
    None,
    /// Unicast addresses of the internet, and the host's DNS servers. No private, link-local, shared or
    /// multicast address.
    Public,
    /// All that the host reaches.
    Any,
}

/// The root file system of sandboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// The programs of this host, mounted read-only.
    Host,
    /// An OCI image layout (a directory or a tar) or a tar written by `docker save`.
    File(PathBuf),
}

/// A driver could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the directory {0} is in use by another server; stop it or choose another directory")]
    InUse(PathBuf),
    #[error("the path {0} is too long for a unix socket below it; choose a shorter directory")]
    PathTooLong(PathBuf),
    #[error("this host can't isolate a sandbox: {0}")]
    Unsupported(String),
    #[error("failed to load the image")]
    Image(#[source] ImageError),
    #[error("failed to open the directory of the sandboxes")]
    Backend(#[source] io::Error),
}

/// A task was not accepted; nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(
        "network access needs a sandbox, the program pasta (Debian's package passt) and /dev/net/tun"
    )]
    NoEgress,
    #[error("the sandboxes of this host use all that the server may give them; try again later")]
    NoCapacity,
    #[error("failed to record the task")]
    Backend(#[source] io::Error),
}

/// A task could not be stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("no such task")]
    Unknown,
}
