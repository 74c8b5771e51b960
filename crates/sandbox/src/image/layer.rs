//! Applies one layer, a tar of changes, to what the layers below it made.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{File, FileTimes};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tar::Entry;

use super::tree::{Place, Tree};
use super::{ImageError, damaged};

/// Neither setuid nor setgid: nothing in a sandbox may gain rights by them.
const MODE: u32 = 0o1777;

pub(super) fn apply(layer: Box<dyn Read + '_>, tree: &Tree) -> Result<(), ImageError> {
    let mut archive = tar::Archive::new(layer);
    let mut made = HashSet::new();
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        if path.components().all(|part| part.as_os_str() == "." || part.as_os_str() == "/") {
            continue;
        }
        let place = tree.place(&path).map_err(|error| refused(&path, &error))?;
        match place.whiteout() {
            Some(hidden) => hide(&place, hidden.map(ToOwned::to_owned), &path, &made)?,
            None => {
                put(&mut entry, &place, tree).map_err(|error| refused(&path, &error))?;
                made.insert(path);
            }
        }
    }
    // The digest is checked at the end of the file, which a tar may end before.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(unreadable)?;
    Ok(())
}

fn put(entry: &mut Entry<'_, impl Read>, place: &Place, tree: &Tree) -> io::Result<()> {
    let header = entry.header();
    let (uid, gid) = (small(header.uid()?)?, small(header.gid()?)?);
    let mode = header.mode()? & MODE;
    let mtime = header.mtime()?;
    let kind = header.entry_type();
    if kind.is_dir() {
        place.make_directory(mode)?;
        place.give_to(uid, gid)?;
        place.set_mode(mode)
    } else if kind.is_symlink() {
        place.make_link(&link_name(entry)?)?;
        place.give_to(uid, gid)
    } else if kind.is_hard_link() {
        place.link_to(&tree.place(&link_name(entry)?)?)
    } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
        let file = place.make_file(entry, mode)?;
        place.give_to(uid, gid)?;
        place.set_mode(mode)?;
        set_time(&file, mtime)
    } else {
        // Devices and pipes: nothing in a sandbox could use them.
        Ok(())
    }
}

/// Removes what a lower layer made; this one's own stays, in whatever order it comes.
fn hide(
    place: &Place,
    hidden: Option<OsString>,
    path: &Path,
    made: &HashSet<PathBuf>,
) -> Result<(), ImageError> {
    let names = match hidden {
        Some(name) => vec![name],
        None => place.siblings()?,
    };
    for name in names {
        if !made.contains(&path.with_file_name(&name)) {
            place.beside(&name)?.clear()?;
        }
    }
    Ok(())
}

fn link_name(entry: &Entry<'_, impl Read>) -> io::Result<PathBuf> {
    let name = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?;
    Ok(name.into_owned())
}

/// Compiled files name the time of their source.
fn set_time(file: &File, seconds: u64) -> io::Result<()> {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH);
    file.set_times(FileTimes::new().set_modified(time))
}

fn small(id: u64) -> io::Result<u32> {
    u32::try_from(id).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn unreadable(error: io::Error) -> ImageError {
    damaged(format!("a layer can't be read: {error}"))
}

fn refused(path: &Path, error: &io::Error) -> ImageError {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if full {
        ImageError::Backend(error.kind().into())
    } else {
        damaged(format!("{}: {error}", path.display()))
    }
}
