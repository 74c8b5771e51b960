//! Applies one layer, a tar of changes, to the tree that the layers below it made.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{File, FileTimes};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tar::Entry;

use super::tree::{Tree, TreeEntry};
use super::{ImageError, damaged};

/// Mode bits that are kept. setuid and setgid are removed: no program in a sandbox may gain privileges.
const MODE_MASK: u32 = 0o1777;

pub(super) fn apply(layer: Box<dyn Read + '_>, tree: &Tree) -> Result<(), ImageError> {
    let mut archive = tar::Archive::new(layer);
    let mut made = HashSet::new();
    for entry in archive.entries().map_err(layer_error)? {
        let mut entry = entry.map_err(layer_error)?;
        let path = entry.path().map_err(layer_error)?.into_owned();
        if path.components().all(|part| part.as_os_str() == "." || part.as_os_str() == "/") {
            continue;
        }
        let target = tree.entry(&path).map_err(|error| entry_error(&path, &error))?;
        match target.whiteout() {
            Some(hidden) => hide(&target, hidden.map(ToOwned::to_owned), &path, &made)?,
            None => {
                apply_entry(&mut entry, &target, tree)
                    .map_err(|error| entry_error(&path, &error))?;
                made.insert(path);
            }
        }
    }
    // Reads to the end of the file, where its digest is checked; the tar may end before.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(layer_error)?;
    Ok(())
}

fn apply_entry(
    entry: &mut Entry<'_, impl Read>,
    target: &TreeEntry,
    tree: &Tree,
) -> io::Result<()> {
    let header = entry.header();
    let (uid, gid) = (small(header.uid()?)?, small(header.gid()?)?);
    let mode = header.mode()? & MODE_MASK;
    let mtime = header.mtime()?;
    let kind = header.entry_type();
    if kind.is_dir() {
        target.make_directory(mode)?;
        target.give_to(uid, gid)?;
        target.set_mode(mode)
    } else if kind.is_symlink() {
        target.make_link(&link_name(entry)?)?;
        target.give_to(uid, gid)
    } else if kind.is_hard_link() {
        target.link_to(&tree.entry(&link_name(entry)?)?)
    } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
        let file = target.make_file(entry, mode)?;
        target.give_to(uid, gid)?;
        target.set_mode(mode)?;
        set_time(&file, mtime)
    } else {
        // Devices and named pipes are skipped.
        Ok(())
    }
}

/// Applies a whiteout: removes entries of lower layers. Entries of this layer (`made`) are kept, in
/// whatever order they appear in the tar.
fn hide(
    target: &TreeEntry,
    hidden: Option<OsString>,
    path: &Path,
    made: &HashSet<PathBuf>,
) -> Result<(), ImageError> {
    let names = match hidden {
        Some(name) => vec![name],
        None => target.siblings()?,
    };
    for name in names {
        if !made.contains(&path.with_file_name(&name)) {
            target.beside(&name)?.clear()?;
        }
    }
    Ok(())
}

fn link_name(entry: &Entry<'_, impl Read>) -> io::Result<PathBuf> {
    let name = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?;
    Ok(name.into_owned())
}

/// Sets the modification time: compiled files (Python's .pyc) contain that of their source.
fn set_time(file: &File, seconds: u64) -> io::Result<()> {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH);
    file.set_times(FileTimes::new().set_modified(time))
}

fn small(id: u64) -> io::Result<u32> {
    u32::try_from(id).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn layer_error(error: io::Error) -> ImageError {
    damaged(format!("failed to read a layer: {error}"))
}

fn entry_error(path: &Path, error: &io::Error) -> ImageError {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if full {
        ImageError::Backend(error.kind().into())
    } else {
        damaged(format!("{}: {error}", path.display()))
    }
}
