//! Copies to a shell.

use std::{
    fs::File,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use futures::{Stream, TryStreamExt};
use serde_json::Value;

use super::{chunks, is_directory, name, place::Remote, route, tree};
use crate::{
    client::Client,
    command::Context,
    error::{CliError, Exit},
    terminal::Progress,
};

pub(super) async fn file_or_tree(
    context: &Context,
    from: &Path,
    to: &Remote,
    recursive: bool,
) -> Result<(), CliError> {
    let subject = from.display();
    let failed = |error| CliError::chain(&format!("can't read {subject}"), &error);
    // Opening a pipe waits for its writer, as it does for every program.
    let file = File::open(from).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    let client = context.client()?;
    if found.is_dir() {
        if !recursive {
            let error = CliError::new(Exit::Usage, format!("{subject} is a directory"));
            return Err(error.hint("copy it with -r"));
        }
        return whole_tree(context, &client, from, to).await;
    }
    let to = file_target(&client, to, name(from)).await?;
    let length = found.is_file().then_some(found.len());
    let mode = found.permissions().mode() & 0o777;
    let path = format!("{}&mode={mode:o}", route(&to, ""));
    send(context, &client, &path, &to, length, move |out| io::copy(&mut &file, out).map(drop)).await
}

pub(super) async fn standard_input(context: &Context, to: &Remote) -> Result<(), CliError> {
    let client = context.client()?;
    if to.names_a_directory() || is_directory(&client, to).await? {
        let error = CliError::new(Exit::Usage, format!("{to} is a directory"));
        return Err(error.hint("name the file that standard input is copied to"));
    }
    send(context, &client, &route(to, ""), to, None, |out| {
        io::copy(&mut io::stdin(), out).map(drop)
    })
    .await
}

/// A tree takes the name of a target that does not exist, and goes into one that is a directory.
async fn whole_tree(
    context: &Context,
    client: &Client,
    from: &Path,
    to: &Remote,
) -> Result<(), CliError> {
    let to = match name(from) {
        Some(name) if is_directory(client, to).await? => to.join(&name),
        _ => to.clone(),
    };
    let root = PathBuf::from(from);
    send(context, client, &route(&to, "/archive"), &to, None, move |out| tree::pack(&root, out))
        .await
}

async fn file_target(
    client: &Client,
    to: &Remote,
    name: Option<std::ffi::OsString>,
) -> Result<Remote, CliError> {
    match name {
        Some(name) if to.names_a_directory() || is_directory(client, to).await? => {
            Ok(to.join(&name))
        }
        _ => Ok(to.clone()),
    }
}

/// Sends what a thread writes, and prints the answer if JSON is wanted.
async fn send(
    context: &Context,
    client: &Client,
    path: &str,
    to: &Remote,
    length: Option<u64>,
    write: impl FnOnce(&mut chunks::ChunkWriter) -> io::Result<()> + Send + 'static,
) -> Result<(), CliError> {
    let progress = context.terminal.progress(&to.to_string(), length);
    let read_error = std::sync::Arc::new(std::sync::OnceLock::new());
    let seen = std::sync::Arc::clone(&read_error);
    let bytes = chunks::written_by(write).inspect_err(move |error| {
        let _ = seen.set(CliError::chain("can't read what is to be copied", error));
    });
    let bytes = counted(bytes, progress.clone());
    let uploads = format!("/sessions/{}/files/uploads", to.shell);
    let sent = client.for_uploads()?.put(path, &uploads, length, bytes).await;
    drop(progress);
    let answer: Value = match (sent, read_error.get()) {
        (Err(_), Some(error)) => return Err(error.clone()),
        (sent, _) => sent.map_err(|error| to.error(error))?,
    };
    if context.terminal.json { context.terminal.json(&answer) } else { Ok(()) }
}

fn counted(
    bytes: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
    progress: Progress,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
    bytes.inspect_ok(move |chunk| progress.add(chunk.len()))
}
