//! Directories of this machine as tar archives, and back.

use std::{
    fs, io,
    io::{Read, Write},
    os::unix::fs::FileTypeExt,
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
        let both_are_directories = entry.file_type()?.is_dir()
            && fs::symlink_metadata(&target).is_ok_and(|found| found.is_dir());
        if both_are_directories {
            merge(&entry.path(), &target)?;
        } else {
            fs::rename(entry.path(), &target).map_err(|error| on(error, &target))?;
        }
    }
    Ok(())
}
