use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use runner::protocol::files::{Done, FileError, FromCaller, Reply};

use super::channel::Channel;
use super::error::Failure;
use super::open;
use super::replacement::Replacement;

/// The permission bits of a new file.
const DEFAULT_MODE: u32 = 0o644;
/// The permission bits of a new directory.
const DIRECTORY_MODE: u32 = 0o755;

/// Writes a file beside its place and puts it there once it is complete.
pub(super) fn write(
    path: &Path,
    mode: Option<u32>,
    channel: &mut Channel,
) -> Result<Done, Failure> {
    let old = open::found(path)?;
    if let Some(old) = &old {
        open::must_be_file(old)?;
    }
    let mut replacement = replacement(path, old.is_some())?;
    channel.reply(&Reply::Ready)?;
    let FromCaller::End = channel.receive_file(&mut replacement.file)? else {
        return Err(Failure::Lost);
    };
    let mode = mode.or(old.map(|old| old.mode)).unwrap_or(DEFAULT_MODE);
    let file = replacement.complete(mode)?;
    channel.reply(&Reply::Found(open::attributes(&rustix::fs::fstat(file)?)))?;
    Ok(Done { entries: 1, created: old.is_none(), ..Done::default() })
}

fn replacement(path: &Path, exists: bool) -> Result<Replacement, Failure> {
    // The file that a symbolic link leads to is replaced, not the link; a link to nothing is replaced.
    let place = if exists { fs::canonicalize(path)? } else { path.to_owned() };
    let bytes = path.as_os_str().as_encoded_bytes();
    let is_directory = bytes.ends_with(b"/") || bytes.ends_with(b"/.");
    let name = place.file_name().filter(|_| !is_directory);
    let refuse = || Failure::new(FileError::NotAFile, "the path names a directory");
    let name = name.ok_or_else(refuse)?.to_owned();
    let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.map_or_else(|| PathBuf::from("."), Path::to_owned);
    if !exists {
        create_directories(&parent)?;
    }
    Replacement::create(open::directory(&parent)?, name)
}

/// Creates a directory and its parents where they do not exist.
pub(super) fn create_directories(path: &Path) -> Result<(), Failure> {
    match fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path) {
        // A file is in the way.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(rustix::io::Errno::NOTDIR.into())
        }
        created => Ok(created?),
    }
}
