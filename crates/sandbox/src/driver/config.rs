//! What a driver is given, and why it refuses.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::image::ImageError;

/// What a driver works with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its directory, for itself alone.
    pub root: PathBuf,
    /// The binary that runs [`runtime_main`](crate::runtime_main) as its subcommand `runtime`.
    pub exe: PathBuf,
    pub runtime: Runtime,
    pub image: Image,
    /// From SIGTERM to the runner until everything is killed.
    pub grace: Duration,
}

/// What makes the containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    BuiltIn,
    /// An OCI runtime that is called as `runc` is.
    Program(PathBuf),
    /// No container at all: commands run on the host itself, as the user `shelluser` where the
    /// server is root and else as whoever started it. Only for those who ask for it by name.
    Bare,
}

/// What is in the containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// The programs of this host, read-only.
    Host,
    /// An OCI layout, as a directory or a tar, or a tar of `docker save`.
    File(PathBuf),
}

/// Why a driver can't work.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process uses {0}")]
    InUse(PathBuf),
    #[error("{0} is too long a path for a socket below it")]
    PathTooLong(PathBuf),
    #[error("this host can't isolate a sandbox: {0}")]
    Unfit(String),
    #[error("the image can't be used")]
    Image(#[source] ImageError),
    #[error("the directory of the sandboxes can't be used")]
    Backend(#[source] io::Error),
}

/// Why a task was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(
        "network access takes a sandbox, the program pasta (Debian's package passt) and /dev/net/tun"
    )]
    NoEgress,
    #[error("the task can't be recorded")]
    Backend(#[source] io::Error),
}

/// Why a task can't be stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("there is no such task")]
    Unknown,
}
