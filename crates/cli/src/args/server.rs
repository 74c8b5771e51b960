//! What is said to a server on this machine, not over the API.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Certificate chain (PEM) to serve https with.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Listen beyond loopback without TLS: tokens and output travel in the clear.
    #[arg(long)]
    pub(crate) insecure_listen: bool,
    /// Shells that a user may have at once.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) quota: u32,
    /// Shells kept ready to be taken.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) warm: u32,
    /// Permit webhooks to http and to private addresses.
    #[arg(long)]
    pub(crate) webhook_allow_private: bool,
    /// What is in the shells: an OCI layout or `docker save` tar; without it this machine's /usr.
    #[arg(long, value_name = "PATH")]
    pub(crate) image: Option<PathBuf>,
    /// What to log, such as `info` or `local=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// How a server on this machine makes its shells.
#[derive(Debug, Args)]
#[command(next_help_heading = "Shells on this machine")]
pub(crate) struct Place {
    /// OCI runtime such as runc or crun, in the place of the built-in one.
    #[arg(long, value_name = "PATH", conflicts_with = "sandbox")]
    pub(crate) runtime: Option<PathBuf>,
    /// `none` does not isolate commands from this machine at all.
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
    /// Make a token for a user and print it, once.
    Add { user: String },
    /// List who has tokens.
    List,
    /// Take all tokens from a user.
    Revoke { user: String },
}
