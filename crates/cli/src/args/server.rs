//! Options of the server on this machine, and of commands that work on its data directory.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{ArgAction, Args, Subcommand, ValueEnum, value_parser};
use local::config::UidRange;
use reqwest::Url;

use super::value::{http_url, max_size, web_origin};

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Certificate chain (PEM) for https.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Permit a non-loopback address without TLS: tokens and output are sent unencrypted.
    #[arg(long)]
    pub(crate) insecure_listen: bool,
    /// Maximum number of active shells per user.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) quota: u32,
    /// Maximum number of starts per user and minute, and at once unless --quota is more; 0: no limit.
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = value_parser!(u32).range(0..=60_000))]
    pub(crate) start_rate: u32,
    /// Maximum size of what is stored per user, in MiB: output, commands and records.
    #[arg(long, default_value_t = 8192, value_name = "MIB")]
    pub(crate) storage_per_user: u64,
    /// The same per shell.
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    pub(crate) storage_per_session: u64,
    /// Maximum number of unfinished commands per shell.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(crate) queue: u32,
    /// Maximum number of running commands per user.
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub(crate) running_per_user: u32,
    /// The same per shell, at most 96.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) running_per_session: u32,
    /// Number of warm shells, started ahead of their use.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) warm: u32,
    /// Number of sandboxes of the default size without a network that are made ahead of their use; nothing
    /// runs in them, and they count in no budget.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) prepared: usize,
    /// Permit webhooks to http and to private addresses.
    #[arg(long)]
    pub(crate) webhook_allow_private: bool,
    /// Serve the console at the server's URL: a page for browsers.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub(crate) console: bool,
    /// Origin of web pages that may open terminals, such as https://app.example, besides the console's; may be
    /// repeated. A page still needs the token of a terminal.
    #[arg(long, value_name = "ORIGIN", value_parser = web_origin)]
    pub(crate) terminal_origin: Vec<String>,
    /// Image of the shells: an OCI layout or a `docker save` archive; default: this machine's /usr.
    #[arg(long, value_name = "PATH")]
    pub(crate) image: Option<PathBuf>,
    /// What shells with `--network egress` can reach. Never this machine's loopback or the metadata services
    /// of clouds.
    #[arg(long, value_enum, default_value_t = Reach::Public)]
    pub(crate) network: Reach,
    /// Log filter, such as `info` or `local=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
    // Options after a group with a heading would be shown under it.
    #[command(flatten)]
    pub(crate) events: PublishEvents,
    #[command(flatten)]
    pub(crate) budget: Budget,
    #[command(flatten)]
    pub(crate) isolation: Isolation,
}

/// Where the events of all users go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Events of all users")]
pub(crate) struct PublishEvents {
    /// Append each event to this file, as a line of JSON. It may be renamed at any time.
    #[arg(long, value_name = "FILE")]
    pub(crate) events_log: Option<PathBuf>,
    /// Post each event to this http or https URL, signed as a webhook with the key in the file `events-key` of
    /// the data directory. Other users of this machine see options; the variable hides a URL with a password.
    #[arg(long = "events", env = "EPHEMERAL_EVENTS", hide_env_values = true, value_name = "URL", value_parser = http_url)]
    pub(crate) events_url: Option<Url>,
}

/// What shells may use of this machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Budget")]
pub(crate) struct Budget {
    /// Memory of all shells together in MiB; starts beyond it wait or are refused. Default: 3/4 of the
    /// machine's.
    #[arg(long, value_name = "MIB", value_parser = value_parser!(u64).range(1..))]
    pub(crate) memory_budget: Option<u64>,
    /// Disk of all shells together in MiB. Default: 9/10 of the free space of the data directory.
    #[arg(long, value_name = "MIB", value_parser = value_parser!(u64).range(1..))]
    pub(crate) disk_budget: Option<u64>,
    /// Processes and threads of all shells together, 512 for each. Default: half of the machine's process
    /// ids.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(512..=4_194_304))]
    pub(crate) process_budget: Option<u64>,
    /// Shells of all users together; starts beyond it wait or are refused. Default: as many as the budgets allow.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) max_sessions: Option<u32>,
    /// Largest shell: units of 1/1024 core, MiB of memory and, after another comma, MiB of disk.
    #[arg(long, value_name = "CPU,MEMORY[,DISK]", value_parser = max_size)]
    pub(crate) max_size: Option<MaxSize>,
}

/// The largest shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxSize {
    pub(crate) cpu: u32,
    pub(crate) memory_mib: u32,
    pub(crate) disk_mib: Option<u32>,
}

/// What shells with a network can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reach {
    /// Shells get no network.
    None,
    /// The internet, but no private address.
    Public,
    /// All that this machine reaches.
    Any,
}

/// How a server on this machine isolates its shells.
#[derive(Debug, Args)]
#[command(next_help_heading = "Isolation")]
pub(crate) struct Isolation {
    /// OCI runtime such as runc, crun or runsc; default: the built-in runtime.
    #[arg(long, value_name = "PATH", conflicts_with = "sandbox")]
    pub(crate) runtime: Option<PathBuf>,
    /// Argument for the OCI runtime, before its subcommand, such as `--platform=systrap` for runsc; may be
    /// repeated.
    #[arg(long, value_name = "ARG", requires = "runtime", allow_hyphen_values = true)]
    pub(crate) runtime_arg: Vec<OsString>,
    /// `none` runs commands on this machine without any isolation.
    #[arg(long, value_enum, default_value_t = Sandbox::Oci)]
    pub(crate) sandbox: Sandbox,
    /// Uids and gids of this machine for shells, FIRST-LAST: 65536 for each shell. For a server that is root.
    #[arg(long, env = "EPHEMERAL_UID_RANGE", value_name = "RANGE", default_value_t = UidRange::default())]
    pub(crate) uid_range: UidRange,
    /// Whether commands may run as root of their shell (`user: "root"`), to install packages for example.
    #[arg(long, value_enum, default_value_t = Root::Deny)]
    pub(crate) root: Root,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Root {
    Allow,
    Deny,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sandbox {
    Oci,
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Create a token for a user and print it once.
    Add { user: String },
    /// List the users that have tokens.
    List,
    /// Revoke all tokens of a user.
    Revoke {
        user: String,
        /// Also stop all shells of the user.
        #[arg(long)]
        stop: bool,
    },
}
