//! Tries one feature that sandboxes need, in a process that exits afterwards.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::namespaces::{mount_overlay, mount_scratch, unshare_namespaces};
use super::{AnyError, Overlay, Scratch};
use crate::disk;
use crate::rootless::IdMap;
use crate::seccomp;

/// Tries the feature `what` in the empty directory `dir`.
pub(super) fn run(what: &OsStr, dir: &Path) -> Result<(), AnyError> {
    match what.to_str() {
        Some("namespaces") => unshare_namespaces(IdMap::find()?.as_ref()),
        Some("seccomp") => seccomp::confine(),
        Some("overlay") => overlay(dir),
        Some("disk") => disk(dir),
        _ => Err("usage: runtime probe namespaces|seccomp|overlay|disk DIRECTORY".into()),
    }
}

fn overlay(dir: &Path) -> Result<(), AnyError> {
    let names = ["scratch", "lower", "root"].map(|name| dir.join(name));
    for name in &names {
        fs::create_dir(name)?;
    }
    let [at, lower, root] = names;
    unshare_namespaces(IdMap::find()?.as_ref())?;
    let scratch = Scratch { at, image: None, size_mib: 1, owner: (0, 0) };
    mount_scratch(&scratch)?;
    mount_overlay(&Overlay { at: root, lower: vec![lower] }, &scratch)
}

/// Mounts the image of a disk that is in `dir`.
fn disk(dir: &Path) -> Result<(), AnyError> {
    let at = dir.join("scratch");
    fs::create_dir(&at)?;
    let image = Some(dir.join(disk::FILE));
    unshare_namespaces(None)?;
    mount_scratch(&Scratch { at, image, size_mib: 0, owner: (0, 0) })
}
