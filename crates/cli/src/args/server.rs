//! Options of the server on this machine, and of commands that work on its data directory.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};

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
    /// Number of warm shells, started ahead of their use.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) warm: u32,
    /// Permit webhooks to http and to private addresses.
    #[arg(long)]
    pub(crate) webhook_allow_private: bool,
    /// Image of the shells: an OCI layout or a `docker save` archive; default: this machine's /usr.
    #[arg(long, value_name = "PATH")]
    pub(crate) image: Option<PathBuf>,
    /// Log filter, such as `info` or `local=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) isolation: Isolation,
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
    Revoke { user: String },
}
