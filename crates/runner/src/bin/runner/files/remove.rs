use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use runner::protocol::files::{Done, FileError, FileKind};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::Errno;

use super::error::Failure;
use super::open;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes a file, a symbolic link, or a directory. A path that ends with a slash names a directory only, and
/// never one that a symbolic link leads to.
pub(super) fn remove(path: &Path, recursive: bool) -> Result<Done, Failure> {
    let given = path.as_os_str().as_bytes();
    // The kernel follows a symbolic link whose name a slash ends.
    let path = without_slashes(given);
    let last = path.rsplit(|byte| *byte == b'/').next();
    // The content of such a directory would be removed before the kernel refuses to remove the directory.
    if matches!(last, None | Some(b"" | b"." | b"..")) {
        let message = "a path that ends with . or .. can't be removed, and neither can /";
        return Err(Failure::new(FileError::InvalidPath, message));
    }
    let must_be_directory = path.len() < given.len();
    let path = Path::new(OsStr::from_bytes(path));
    let found = open::attributes_at(CWD, path)?;
    match found.kind {
        FileKind::Directory => {
            if recursive {
                empty(openat(CWD, path, DIRECTORY, Mode::empty())?)?;
            }
            fs::remove_dir(path)?;
        }
        FileKind::File | FileKind::Symlink | FileKind::Other if must_be_directory => {
            let message = "the path ends with a slash, and it is not a directory";
            return Err(Failure::new(FileError::NotADirectory, message));
        }
        FileKind::File | FileKind::Symlink | FileKind::Other => fs::remove_file(path)?,
    }
    Ok(Done { entries: 1, ..Done::default() })
}

/// The path without the slashes at its end.
fn without_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path.get(..end).unwrap_or_default()
}

/// A directory that is left for one below it.
struct Left {
    /// Its device and inode: `..` may lead elsewhere if a directory is moved meanwhile.
    identity: (u64, u64),
    /// The name of the one below it.
    below: CString,
}

/// Removes what is in a directory, however deep it is: one directory at a time is open. No symbolic link is
/// followed, also if one appears meanwhile.
fn empty(mut directory: OwnedFd) -> Result<(), Failure> {
    let mut above: Vec<Left> = Vec::new();
    loop {
        if let Some(below) = remove_entries(&directory)? {
            let next = openat(&directory, &below, DIRECTORY, Mode::empty())?;
            above.push(Left { identity: identity(&directory)?, below });
            directory = next;
            continue;
        }
        let Some(Left { identity: wanted, below }) = above.pop() else { return Ok(()) };
        directory = openat(&directory, c"..", DIRECTORY, Mode::empty())?;
        if identity(&directory)? != wanted {
            return Err(Errno::NOTEMPTY.into());
        }
        unlinkat(&directory, &below, AtFlags::REMOVEDIR)?;
    }
}

/// Removes the entries of a directory, up to a directory that is not empty.
fn remove_entries(directory: &OwnedFd) -> Result<Option<CString>, Failure> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        // Linux tells a directory from other files by this error.
        let removed = match unlinkat(directory, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => unlinkat(directory, name, AtFlags::REMOVEDIR),
            removed => removed,
        };
        match removed {
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_owned())),
            // Another process has removed it.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn identity(directory: &OwnedFd) -> Result<(u64, u64), Failure> {
    let found = fstat(directory)?;
    Ok((found.st_dev, found.st_ino))
}
