//! The driver's configuration and its errors.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Prepare;
use crate::budget::Budget;
use crate::image::ImageError;
use crate::task::Network;
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
    /// The sandboxes to make before tasks need them, if any.
    pub prepare: Option<Prepare>,
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
    Program(Program),
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

/// An OCI runtime that is a program of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    pub path: PathBuf,
    /// Arguments before its subcommand, such as `--platform=systrap` of runsc.
    pub args: Vec<OsString>,
}

impl Program {
    /// Whether this is gVisor, in which commands have another kernel than this host's.
    pub(crate) fn is_gvisor(&self) -> bool {
        self.path.file_name().is_some_and(|name| name == "runsc")
    }

    /// The program with the arguments that a sandbox with this network needs; [`Program::args`] come after
    /// them and prevail.
    pub(crate) fn for_network(&self, network: Network) -> Self {
        let mut args: Vec<OsString> = Vec::new();
        if self.is_gvisor() {
            // The driver has set the limits. The runner's socket must be visible to the server.
            args.extend(["--ignore-cgroups", "--host-uds=all"].map(Into::into));
            if network == Network::None {
                args.push("--network=none".into());
            }
        }
        args.extend(self.args.iter().cloned());
        Self { path: self.path.clone(), args }
    }
}

/// The program of this path, without arguments.
impl<T: Into<PathBuf>> From<T> for Program {
    fn from(path: T) -> Self {
        Self { path: path.into(), args: Vec::new() }
    }
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
