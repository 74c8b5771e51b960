//! The settings of a server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use sandbox::{Image, Runtime};

/// The settings of a server. [`Config::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Whether to listen beyond loopback without TLS.
    pub insecure_listen: bool,
    /// The certificate for https; plain http if absent.
    pub tls: Option<Tls>,
    /// The directory of all that outlives the process, sandboxes included. One server uses it at a time.
    pub data_dir: PathBuf,
    /// How many sessions a user may have at once.
    pub max_active_sessions: u32,
    /// How many warm tasks to keep.
    pub warm: u32,
    /// How shells are isolated from this host, and their image.
    pub sandbox: Sandbox,
    /// Whether webhooks may go to http URLs and private addresses.
    pub webhook_allow_private: bool,
    /// How long ended sessions are kept.
    pub retention: Duration,
}

/// A certificate and its private key, as PEM files.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The file of the certificate chain, the server's own certificate first.
    pub certificates: PathBuf,
    /// The file of the private key.
    pub key: PathBuf,
}

/// How shells are isolated from this host, and their image.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// The program whose subcommand `runtime` calls [`sandbox::runtime_main`]; usually this program.
    pub exe: PathBuf,
    /// The runtime that creates the containers.
    pub runtime: Runtime,
    /// The contents of the image `default`.
    pub image: Image,
}

impl Sandbox {
    /// The built-in runtime, which is a subcommand of `exe`, with the programs of this host as the image.
    pub fn new(exe: PathBuf) -> Self {
        Self { exe, runtime: Runtime::BuiltIn, image: Image::Host }
    }
}

impl Config {
    /// Listens on loopback; five sessions for each user, no warm tasks, and a retention of one week.
    pub fn new(data_dir: PathBuf, sandbox: Sandbox) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8787)),
            insecure_listen: false,
            tls: None,
            data_dir,
            max_active_sessions: 5,
            warm: 0,
            sandbox,
            webhook_allow_private: false,
            retention: Duration::from_hours(7 * 24),
        }
    }
}
