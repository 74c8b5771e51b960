//! Applies one layer, a tar of changes, to the tree that the layers below it made.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tar::Entry;

use super::tree::{Tree, TreeEntry};
use super::{ImageError, damaged};

mod attributes;
mod sparse;
mod whiteout;

use attributes::Attributes;
use whiteout::{Made, Whiteout};

pub(super) fn apply(layer: Box<dyn Read + '_>, tree: &Tree) -> Result<(), ImageError> {
    let mut archive = tar::Archive::new(layer);
    let mut made = Made::default();
    // Set at the end, because what is created in a directory changes its time.
    let mut directory_times = Vec::new();
    for entry in archive.entries().map_err(layer_error)? {
        let mut entry = entry.map_err(layer_error)?;
        let attributes = Attributes::read(&mut entry).map_err(layer_error)?;
        let path = match &attributes.sparse_name {
            Some(name) => name.clone(),
            None => entry.path().map_err(layer_error)?.into_owned(),
        };
        let failed = |error: io::Error| entry_error(&path, &error);
        if path.components().all(|part| part.as_os_str() == "." || part.as_os_str() == "/") {
            continue;
        }
        let Some(whiteout) = Whiteout::of(&path).map_err(failed)? else {
            let target = tree.entry(&path).map_err(failed)?;
            if apply_entry(&mut entry, &attributes, &target, tree).map_err(failed)? {
                made.add(&target).map_err(failed)?;
                if entry.header().entry_type().is_dir() {
                    directory_times.push((path, attributes));
                }
            }
            continue;
        };
        made.hide(tree, &path, &whiteout).map_err(failed)?;
    }
    for (path, attributes) in directory_times {
        // A later entry or a whiteout may have replaced the directory.
        if let Some(target) = tree.existing(&path)?.filter(TreeEntry::is_directory) {
            target.set_time(attributes.mtime)?;
        }
    }
    // Reads to the end of the file, where its digest is checked; the tar may end before.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(layer_error)?;
    Ok(())
}

/// Creates what the entry describes. Returns false for what is skipped: devices, and kinds that only
/// describe the archive.
fn apply_entry(
    entry: &mut Entry<'_, impl Read>,
    attributes: &Attributes,
    target: &TreeEntry,
    tree: &Tree,
) -> io::Result<bool> {
    let kind = entry.header().entry_type();
    let mode = attributes.mode;
    if kind.is_hard_link() {
        target.link_to(&tree.entry(&link_name(entry)?)?)?;
        return Ok(true);
    }
    if kind.is_dir() {
        target.make_directory(mode)?;
    } else if kind.is_symlink() {
        target.make_link(&link_name(entry)?)?;
    } else if kind.is_fifo() {
        target.make_fifo()?;
    } else if attributes.sparse_name.is_some() {
        let mut content = sparse::Expanded::new(entry, attributes.sparse_bytes)?;
        drop(target.make_file(&mut content, mode)?);
    } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
        drop(target.make_file(entry, mode)?);
    } else {
        return Ok(false);
    }
    target.give_to(attributes.uid, attributes.gid)?;
    if !kind.is_symlink() {
        // After the owner, whose change may clear bits of the mode.
        target.set_mode(mode)?;
        target.set_xattrs(&attributes.xattrs)?;
    }
    target.set_time(attributes.mtime)?;
    Ok(true)
}

fn link_name(entry: &Entry<'_, impl Read>) -> io::Result<PathBuf> {
    let name = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?;
    Ok(name.into_owned())
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
