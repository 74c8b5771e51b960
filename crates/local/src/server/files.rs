//! The files in the data directory by which a client on this machine finds the server.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use domain::{Secret, UserId, ports::Ids};
use handlers::new_webhook_key;
use serde_json::json;

use super::StartError;
use crate::tokens::Tokens;

/// The user of the token in the data directory.
const LOCAL_USER: &str = "local";
const TOKEN: &str = "token";
const EVENTS_KEY: &str = "events-key";
const SERVER: &str = "server.json";

pub(super) fn token_path(dir: &Path) -> PathBuf {
    dir.join(TOKEN)
}

/// Creates the token at the first start, and a new one if the file holds no valid token.
pub(super) async fn token(dir: &Path, tokens: &Tokens) -> Result<(), StartError> {
    let path = token_path(dir);
    if let Ok(token) = fs::read_to_string(&path)
        && tokens.user_of(token.trim())?.is_some()
    {
        return Ok(());
    }
    let token = tokens.create(&UserId::new(LOCAL_USER)).await?;
    replace(&path, &format!("{}\n", token.expose())).map_err(|e| StartError::File(path, e))
}

pub(super) fn events_key_path(dir: &Path) -> PathBuf {
    dir.join(EVENTS_KEY)
}

/// The key that signs what is posted to the endpoint for the events of all users; created when it is first
/// needed.
pub(super) fn events_key(dir: &Path, ids: &dyn Ids) -> Result<Secret<String>, StartError> {
    let path = events_key_path(dir);
    match fs::read_to_string(&path) {
        Ok(key) => Ok(Secret::new(key.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = new_webhook_key(ids);
            replace(&path, &format!("{}\n", key.expose()))
                .map_err(|error| StartError::File(path, error))?;
            Ok(key)
        }
        Err(error) => Err(StartError::File(path, error)),
    }
}

/// Writes the URL and the process id of the server.
pub(super) fn announce(dir: &Path, url: &str) -> Result<(), StartError> {
    let path = dir.join(SERVER);
    let text = json!({"url": url, "pid": std::process::id()}).to_string();
    replace(&path, &text).map_err(|error| StartError::File(path, error))
}

/// Removes the URL of the server.
pub(super) fn withdraw(dir: &Path) {
    if let Err(error) = fs::remove_file(dir.join(SERVER)) {
        let path = dir.join(SERVER);
        tracing::warn!(
            %error,
            "failed to remove {}: {error}; clients will try a server that has stopped",
            path.display()
        );
    }
}

/// Replaces a file atomically; the new one is readable by its owner only, from its creation on.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    // A file that an earlier process left may have other permissions.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}
