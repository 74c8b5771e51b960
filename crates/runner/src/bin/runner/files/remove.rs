use std::fs;
use std::path::Path;

use runner::protocol::files::{Done, FileKind};

use super::error::Failure;
use super::open;

/// Removes a file, a symbolic link, or a directory.
pub(super) fn remove(path: &Path, recursive: bool) -> Result<Done, Failure> {
    let found = open::attributes_at(rustix::fs::CWD, path)?;
    match found.kind {
        // The standard library follows no symbolic link below the path, also if one appears meanwhile.
        FileKind::Directory if recursive => fs::remove_dir_all(path)?,
        FileKind::Directory => fs::remove_dir(path)?,
        FileKind::File | FileKind::Symlink | FileKind::Other => fs::remove_file(path)?,
    }
    Ok(Done { entries: 1, ..Done::default() })
}
