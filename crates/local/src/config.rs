//! The settings of a server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use sandbox::{Image, Program, Runtime};

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
    /// The limits on the connections of the API.
    pub connections: ConnectionLimits,
}

/// The limits on the connections of the API. They hold for everybody, with a token or without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How many connections may be open at once. Absent: what the limit on open files leaves, at most
    /// 4096. Beyond it, the connections that wait for a request longest are closed.
    pub open: Option<usize>,
    /// How many of them one peer may have: an IPv4 address, or an IPv6 network of 64 bits. Absent: a
    /// quarter; on loopback, where all users have one address, all.
    pub open_per_peer: Option<usize>,
    /// How long a TLS handshake and the header of a request may take, from the start of the connection
    /// or the first byte of a later request.
    pub header_timeout: Duration,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub idle_timeout: Duration,
    /// How long a client may read nothing of a response that is ready.
    pub write_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            open: None,
            open_per_peer: None,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
        }
    }
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
            connections: ConnectionLimits::default(),
        }
    }
}
