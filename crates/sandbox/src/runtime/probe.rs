//! Tries one feature that sandboxes need, in a process that exits afterwards.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::namespaces::{mount_scratch, unshare_namespaces};
use super::{AnyError, Overlay, Scratch, root};
use crate::rootless::IdMap;
use crate::seccomp;

/// Tries the feature `what` in the empty directory `dir`.
pub(super) fn run(what: &OsStr, dir: &Path) -> Result<(), AnyError> {
    match what.to_str() {
        Some("namespaces") => unshare_namespaces(IdMap::find()?.as_ref()),
        Some("seccomp") => seccomp::confine(),
        Some("overlay") => overlay(dir),
        _ => Err("usage: runtime probe namespaces|seccomp|overlay DIRECTORY".into()),
    }
}

fn overlay(dir: &Path) -> Result<(), AnyError> {
    let names = ["scratch", "lower", "root"].map(|name| dir.join(name));
    for name in &names {
        fs::create_dir(name)?;
    }
    let [at, lower, target] = names;
    unshare_namespaces(IdMap::find()?.as_ref())?;
    let scratch = Scratch { at, size_mib: 1 };
    mount_scratch(&scratch)?;
    root::mount(&Overlay { at: target, lower: vec![lower] }, &scratch)
}
