//! Copies from a shell.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread,
};

use reqwest::Response;
use serde_json::json;
use tempfile::{Builder, NamedTempFile, TempDir};
use tokio::sync::{mpsc::Sender, oneshot};

use super::{chunks, is_directory, name, place::Remote, route, tree};
use crate::{
    client::{Client, FILE_MODE},
    command::Context,
    error::{CliError, Exit},
    terminal::{Progress, Stream},
};

/// The permission bits of a file whose shell does not tell them.
const DEFAULT_MODE: u32 = 0o644;

pub(super) async fn file_or_tree(
    context: &Context,
    from: &Remote,
    to: &Path,
    recursive: bool,
) -> Result<(), CliError> {
    let client = context.client()?;
    let to = local_target(from, to);
    if recursive && is_directory(&client, from).await? {
        return whole_tree(context, &client, from, &to).await;
    }
    let response = open(&client, from).await?;
    let mode = response.headers().get(FILE_MODE).and_then(|mode| mode.to_str().ok());
    let mode = mode.and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(DEFAULT_MODE);
    let failed = |error| CliError::chain(&format!("can't write {}", to.display()), &error);
    let progress = context.terminal.progress(&from.to_string(), response.content_length());
    let mut file = LocalFile::open(&to, mode & 0o777).map_err(failed)?;
    let write = |chunk: &[u8]| file.write_all(chunk).map_err(failed);
    let size = receive(response, from, &progress, write).await?;
    drop(progress);
    file.complete(&to).map_err(failed)?;
    report(context, &to, size)
}

/// The file that a copy is written to.
enum LocalFile {
    /// Beside its place, so that an incomplete copy never has its name.
    Beside(NamedTempFile),
    /// A pipe or a device, which is not to be replaced.
    Special(File),
}

impl LocalFile {
    fn open(path: &Path, mode: u32) -> io::Result<Self> {
        if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            return OpenOptions::new().write(true).open(path).map(Self::Special);
        }
        let permissions = fs::Permissions::from_mode(mode);
        let mut file = Builder::new();
        let file = file.prefix(".ephemeral-").permissions(permissions);
        file.tempfile_in(parent(path)).map(Self::Beside)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Beside(file) => file.write_all(bytes),
            Self::Special(file) => file.write_all(bytes),
        }
    }

    fn complete(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Beside(file) => file.persist(path).map(drop).map_err(|error| error.error),
            Self::Special(_) => Ok(()),
        }
    }
}

pub(super) async fn standard_output(context: &Context, from: &Remote) -> Result<(), CliError> {
    let response = open(&context.client()?, from).await?;
    let progress = context.terminal.progress(&from.to_string(), response.content_length());
    let out = |chunk: &[u8]| context.terminal.bytes(Stream::Stdout, chunk);
    let copied = receive(response, from, &progress, out).await;
    copied.map(drop).map_err(|error| {
        if error.is_output() && !error.has_message() {
            error.with_exit(Exit::BrokenPipe)
        } else {
            error
        }
    })
}

async fn open(client: &Client, from: &Remote) -> Result<Response, CliError> {
    match client.download(&route(from, "")).await {
        Err(error) if error.is_code("not_a_file") && is_directory(client, from).await? => {
            Err(from.error(error).hint("copy it with -r"))
        }
        opened => opened.map_err(|error| from.error(error)),
    }
}

/// A tree takes the name of a target that does not exist, and is merged into one that does.
async fn whole_tree(
    context: &Context,
    client: &Client,
    from: &Remote,
    to: &Path,
) -> Result<(), CliError> {
    let failed = |error| CliError::chain(&format!("can't write {}", to.display()), &error);
    let response = client.download(&route(from, "/archive")).await;
    let response = response.map_err(|error| from.error(error))?;
    let dir: TempDir =
        Builder::new().prefix(".ephemeral-").tempdir_in(parent(to)).map_err(failed)?;
    let (sender, reader) = chunks::for_thread();
    let (told, unpacked) = oneshot::channel();
    let root = dir.path().to_owned();
    thread::spawn(move || told.send(tree::unpack(reader, &root)));
    let progress = context.terminal.progress(&from.to_string(), None);
    let size = forward(response, from, &progress, sender).await?;
    drop(progress);
    let lost = || io::Error::other("the thread that unpacks has ended");
    let unpacked = unpacked.await.unwrap_or_else(|_| Err(lost()));
    if let Err(error) = unpacked.and_then(|()| place(dir.path(), to)) {
        // A directory that may not be written to would stay here when the others are removed.
        let _ = tree::unlock_all(dir.path());
        return Err(failed(error));
    }
    report(context, to, size)
}

/// Moves an unpacked tree to its place.
fn place(tree: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(found) if found.is_dir() => tree::merge(tree, to),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(_) => {
            fs::set_permissions(tree, fs::Permissions::from_mode(0o755))?;
            fs::rename(tree, to)
        }
    }
}

/// Passes the body of a response on to a thread, and returns its size.
async fn forward(
    mut response: Response,
    from: &Remote,
    progress: &Progress,
    sender: Sender<Vec<u8>>,
) -> Result<u64, CliError> {
    let mut size = 0;
    while let Some(chunk) = next(&mut response, from).await? {
        progress.add(chunk.len());
        size += chunk.len() as u64;
        if sender.send(chunk).await.is_err() {
            // The thread tells why it takes no more, or has seen the end of the archive.
            break;
        }
    }
    Ok(size)
}

/// Where a copy goes: below a target that is a directory.
fn local_target(from: &Remote, to: &Path) -> PathBuf {
    let to = match name(Path::new(&from.path)) {
        Some(name) if to.is_dir() => to.join(name),
        _ => to.to_owned(),
    };
    // The file that a symbolic link leads to is replaced, not the link.
    to.canonicalize().unwrap_or(to)
}

fn parent(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Passes on the body of a response, and returns its size.
async fn receive(
    mut response: Response,
    from: &Remote,
    progress: &Progress,
    mut write: impl FnMut(&[u8]) -> Result<(), CliError>,
) -> Result<u64, CliError> {
    let mut size = 0;
    while let Some(chunk) = next(&mut response, from).await? {
        write(&chunk)?;
        progress.add(chunk.len());
        size += chunk.len() as u64;
    }
    Ok(size)
}

async fn next(response: &mut Response, from: &Remote) -> Result<Option<Vec<u8>>, CliError> {
    let chunk = response.chunk().await.map_err(|error| {
        let message = "the copy broke off before it was complete";
        CliError::chain(message, &error.without_url()).about(from).hint(
            "the shell may have ended, or have files in this directory that its user can't read",
        )
    })?;
    Ok(chunk.map(Vec::from))
}

fn report(context: &Context, to: &Path, size: u64) -> Result<(), CliError> {
    if context.terminal.json {
        context.terminal.json(&json!({"path": to.to_string_lossy(), "bytes": size}))
    } else {
        Ok(())
    }
}
