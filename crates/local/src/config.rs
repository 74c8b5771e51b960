//! What whoever starts a server may choose.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use sandbox::{Image, Runtime};

/// A server's choices. [`Config::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Permits to listen beyond loopback without TLS.
    pub insecure_listen: bool,
    /// Serves https with this certificate.
    pub tls: Option<Tls>,
    /// All that outlives the process, sandboxes too. For one server alone.
    pub data_dir: PathBuf,
    /// Sessions that a user may have at once.
    pub max_active_sessions: u32,
    /// Shells kept ready to be taken.
    pub warm: u32,
    /// How shells are kept apart from this host, and what is in them.
    pub sandbox: Sandbox,
    /// Permits webhooks to http and to inside addresses.
    pub webhook_allow_private: bool,
    /// How long ended sessions can be read.
    pub retention: Duration,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The chain, the server's own first.
    pub certificates: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How shells are kept apart from this host, and what is in them.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// The program whose subcommand `runtime` is [`sandbox::runtime_main`]; most often this one.
    pub exe: PathBuf,
    /// What makes the containers.
    pub runtime: Runtime,
    /// What the image `default` is.
    pub image: Image,
}

impl Sandbox {
    /// The built-in runtime, which is a subcommand of `exe`, and this host's own programs.
    pub fn new(exe: PathBuf) -> Self {
        Self { exe, runtime: Runtime::BuiltIn, image: Image::Host }
    }
}

impl Config {
    /// Loopback, five sessions a user, none kept warm, records kept for a week.
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
