//! The settings of a server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::{NonZero, NonZeroU32},
    path::PathBuf,
    thread,
    time::Duration,
};

pub use crate::publish::EventsConfig;
pub use domain::ports::{QueueLimits, RunLimits, StorageLimits};
use handlers::Policy;
pub use sandbox::{Egress, Image, Program, Runtime, UidRange};

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
    /// How many sessions a user may start in a minute; without limit if absent.
    pub starts_per_minute: Option<NonZeroU32>,
    /// How many bytes the sessions of a user may store, all together and each of them.
    pub storage: StorageLimits,
    /// How many commands of a session may be unfinished.
    pub queue: QueueLimits,
    /// How many commands of a user and of a session run at once.
    pub running: RunLimits,
    /// How many warm tasks to keep.
    pub warm: u32,
    /// How many sandboxes of the default size to make before sessions need them.
    pub prepared: usize,
    /// How shells are isolated from this host, and their image.
    pub sandbox: Sandbox,
    /// What shells with `network: egress` can reach.
    pub egress: Egress,
    /// What shells may use of this host.
    pub budget: BudgetConfig,
    /// Whether shells end with this process, also if it is killed.
    pub end_with_server: bool,
    /// Whether webhooks may go to http URLs and private addresses.
    pub webhook_allow_private: bool,
    /// How long ended sessions are kept.
    pub retention: Duration,
    /// The limits on the connections of the API.
    pub connections: ConnectionLimits,
    /// The limits on the requests of one user.
    pub requests: RequestLimits,
    /// Whether to serve the console at `/`.
    pub console: bool,
    /// The origins of other web pages that may open terminals, as browsers send them.
    pub terminal_origins: Vec<String>,
    /// Where the events of all users are published.
    pub events: EventsConfig,
}

/// The limits on the requests that one user makes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// How many are handled at once; further ones wait.
    pub at_once: usize,
    /// How many of these may be such that only read. They wait for nothing but the processors, which the
    /// commands of other users need too.
    pub reads: usize,
    /// How many are handled or wait; further ones are refused.
    pub queued: usize,
    /// How many long polls and streams of events; further ones are refused.
    pub waiting: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self { at_once: 16, reads: (processors / 2).clamp(1, 16), queued: 256, waiting: 64 }
    }
}

/// What shells may use of this host. What is absent is derived from the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetConfig {
    /// MiB of memory that all shells together may have. Default: three quarters of the host's.
    pub memory_mib: Option<u64>,
    /// MiB of disk that all shells together may have. Default: nine tenths of the free space of the data
    /// directory.
    pub disk_mib: Option<u64>,
    /// Processes and threads that all shells together may have; each shell may have 512. Default: half of
    /// the host's process ids.
    pub pids: Option<u64>,
    /// How many sessions there may be at once. Default: as many as the processes allow.
    pub sessions: Option<u32>,
    /// The largest shell, in units of 1/1024 core, and in MiB of memory and of disk. Default: as large as
    /// all of them together.
    pub max_size: Option<(u32, u32, Option<u32>)>,
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
    /// The host's uids and gids for shells, if the server is root.
    pub uid_range: UidRange,
    /// Whether commands may run as root inside of a shell.
    pub allow_root: bool,
}

impl Sandbox {
    /// The built-in runtime, which is a subcommand of `exe`, with the programs of this host as the image.
    pub fn new(exe: PathBuf) -> Self {
        Self {
            exe,
            runtime: Runtime::BuiltIn,
            image: Image::Host,
            uid_range: UidRange::default(),
            allow_root: false,
        }
    }
}

impl Config {
    /// Listens on loopback; five sessions for each user, no warm tasks, two prepared sandboxes, a retention of
    /// one week, and no console.
    pub fn new(data_dir: PathBuf, sandbox: Sandbox) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8787)),
            insecure_listen: false,
            tls: None,
            data_dir,
            max_active_sessions: 5,
            starts_per_minute: Some(Policy::STARTS_PER_MINUTE),
            storage: Policy::STORAGE,
            queue: Policy::QUEUE,
            running: Policy::RUNNING,
            warm: 0,
            prepared: 2,
            sandbox,
            egress: Egress::Public,
            budget: BudgetConfig::default(),
            end_with_server: false,
            webhook_allow_private: false,
            retention: Duration::from_hours(7 * 24),
            connections: ConnectionLimits::default(),
            requests: RequestLimits::default(),
            console: false,
            terminal_origins: Vec::new(),
            events: EventsConfig::default(),
        }
    }
}
