//! Selects the server to use, and the token for it.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;
use serde::Deserialize;

use crate::{
    args::Global,
    client::is_loopback,
    error::{CliError, Exit},
};

/// Time within which a server on this machine must accept a connection.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The URL of a server and the token for it.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) token: String,
}

/// The file `server.json` that a running server writes to its data directory.
#[derive(Deserialize)]
struct Running {
    url: String,
}

/// The server given by `--url`, else the running server on this machine, if there is one. The token of the data
/// directory is for the server of that directory, and goes to no other machine.
pub(crate) fn find(global: &Global) -> Result<Option<Address>, CliError> {
    let token = std::env::var("EPHEMERAL_TOKEN").ok().filter(|token| !token.is_empty());
    let dir = data_dir(global);
    if let Some(url) = &global.url {
        let stored = || stored_token(&dir).filter(|_| is_own(url, &dir));
        let token = token.or_else(stored).ok_or_else(|| {
            CliError::new(Exit::Auth, format!("no token for {url}"))
                .hint("set EPHEMERAL_TOKEN to the token from the operator of the server")
        })?;
        return Ok(Some(Address { url: url.trim_end_matches('/').to_owned(), token }));
    }
    let Some(running) = recorded(&dir)? else { return Ok(None) };
    if !accepts_connections(&running.url) {
        return Ok(None);
    }
    let token = token.or_else(|| stored_token(&dir)).ok_or_else(|| {
        CliError::new(Exit::Auth, format!("no readable token in {}", dir.display()))
            .hint("set EPHEMERAL_TOKEN, or run as the user who runs the server")
    })?;
    Ok(Some(Address { url: running.url, token }))
}

/// What the last server with this data directory has left there, if anything.
fn recorded(dir: &Path) -> Result<Option<Running>, CliError> {
    let file = dir.join("server.json");
    let Ok(text) = fs::read(&file) else { return Ok(None) };
    let running = serde_json::from_slice(&text)
        .map_err(|error| CliError::chain(&format!("can't read {}", file.display()), &error))?;
    Ok(Some(running))
}

/// The data directory: the option, else the default of this user.
pub(crate) fn data_dir(global: &Global) -> PathBuf {
    if let Some(dir) = &global.data_dir {
        return dir.clone();
    }
    let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if is_root() {
        return PathBuf::from("/var/lib/ephemeral");
    }
    home("XDG_DATA_HOME")
        .or_else(|| home("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(std::env::temp_dir)
        .join("ephemeral")
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Whether a server listens there. A server that was killed leaves its file behind.
fn accepts_connections(url: &str) -> bool {
    let address = url.split("://").nth(1).and_then(|address| address.parse().ok());
    address.is_some_and(|address| TcpStream::connect_timeout(&address, RESPONSE_TIMEOUT).is_ok())
}

/// Whether a URL is that of the server with this data directory: it names this machine, or has the same origin.
fn is_own(url: &str, dir: &Path) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let running = || Url::parse(&recorded(dir).ok()??.url).ok();
    is_loopback(&url) || running().is_some_and(|running| running.origin() == url.origin())
}

fn stored_token(dir: &Path) -> Option<String> {
    let text = fs::read_to_string(dir.join("token")).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}
