//! Directories of this machine as tar archives, and back.

use std::{
    fs::{self, Permissions},
    io,
    io::{Read, Write},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tar::{Archive, Builder};

/// Writes the content of a directory as a tar archive. Pipes, sockets and devices are left out.
pub(super) fn pack(root: &Path, out: &mut impl Write) -> io::Result<()> {
    let mut tar = Builder::new(out);
    tar.follow_symlinks(false);
    let mut waiting = vec![PathBuf::new()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(root.join(&directory)).map_err(|e| on(e, &directory))? {
            let entry = entry.map_err(|error| on(error, &directory))?;
            let path = directory.join(entry.file_name());
            let kind = entry.file_type().map_err(|error| on(error, &path))?;
            let is_special = kind.is_fifo()
                || kind.is_socket()
                || kind.is_block_device()
                || kind.is_char_device();
            if !is_special {
                let added = tar.append_path_with_name(entry.path(), &path);
                added.map_err(|error| on(error, &path))?;
            }
            if kind.is_dir() {
                waiting.push(path);
            }
        }
    }
    tar.finish()
}

fn on(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Unpacks a tar archive into a directory that nobody else writes to.
pub(super) fn unpack(archive: impl Read, root: &Path) -> io::Result<()> {
    Archive::new(archive).unpack(root)
}

/// Moves what is in a directory to another one. Files there are replaced, and directories merged.
pub(super) fn merge(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        // Only a directory that may be written to can be moved elsewhere, or lose its content.
        let is_directory = entry.file_type()?.is_dir();
        let permissions = is_directory.then(|| unlock(&entry.path())).transpose()?;
        if is_directory && fs::symlink_metadata(&target).is_ok_and(|found| found.is_dir()) {
            merge(&entry.path(), &target)?;
        } else {
            fs::rename(entry.path(), &target).map_err(|error| on(error, &target))?;
            if let Some(permissions) = permissions {
                fs::set_permissions(&target, permissions).map_err(|error| on(error, &target))?;
            }
        }
    }
    Ok(())
}

/// Lets this user remove a directory with its content.
pub(super) fn unlock_all(directory: &Path) -> io::Result<()> {
    unlock(directory)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unlock_all(&entry.path())?;
        }
    }
    Ok(())
}

/// Lets this user write to a directory, and returns the permissions that it had.
fn unlock(directory: &Path) -> io::Result<Permissions> {
    let permissions = fs::metadata(directory)?.permissions();
    fs::set_permissions(directory, Permissions::from_mode(permissions.mode() | 0o700))?;
    Ok(permissions)
}
