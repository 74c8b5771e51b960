//! Which server to talk to, and with what token.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    args::Global,
    failure::{Exit, Failure},
};

/// How long a server on this machine may take to accept a connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Where a server is and what it is told.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) token: String,
}

/// What a running server leaves in its data directory.
#[derive(Deserialize)]
struct Running {
    url: String,
}

/// The server that is meant, if there is one: the one named by URL, else the one on this machine.
pub(crate) fn server(global: &Global) -> Result<Option<Address>, Failure> {
    let token = std::env::var("EPHEMERAL_TOKEN").ok().filter(|token| !token.is_empty());
    let dir = data_dir(global);
    if let Some(url) = &global.url {
        let token = token.or_else(|| stored_token(&dir)).ok_or_else(|| {
            Failure::new(Exit::Auth, format!("no token for {url}"))
                .hint("set EPHEMERAL_TOKEN to the token that its operator gave you")
        })?;
        return Ok(Some(Address { url: url.trim_end_matches('/').to_owned(), token }));
    }
    let file = dir.join("server.json");
    let Ok(text) = fs::read(&file) else { return Ok(None) };
    let running: Running = serde_json::from_slice(&text)
        .map_err(|error| Failure::chain(&format!("can't read {}", file.display()), &error))?;
    if !answers(&running.url) {
        return Ok(None);
    }
    let token = token.or_else(|| stored_token(&dir)).ok_or_else(|| {
        Failure::new(Exit::Auth, format!("no readable token in {}", dir.display()))
            .hint("set EPHEMERAL_TOKEN, or be the user who runs the server")
    })?;
    Ok(Some(Address { url: running.url, token }))
}

/// The data directory that is meant.
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

/// Whether somebody listens there. A server that was killed has left its file behind.
fn answers(url: &str) -> bool {
    let address = url.split("://").nth(1).and_then(|address| address.parse().ok());
    address.is_some_and(|address| TcpStream::connect_timeout(&address, ANSWER_WITHIN).is_ok())
}

fn stored_token(dir: &Path) -> Option<String> {
    let text = fs::read_to_string(dir.join("token")).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}
