//! Tries what a sandbox needs, one thing at a time, in a process that can be spared.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::place::{leave_the_host, mount_overlay, mount_scratch};
use super::{AnyError, Overlay, Scratch};
use crate::rootless::IdMap;
use crate::seccomp;

/// `dir` is an empty directory.
pub(super) fn run(what: &OsStr, dir: &Path) -> Result<(), AnyError> {
    match what.to_str() {
        Some("namespaces") => leave_the_host(IdMap::find()?.as_ref()),
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
    let [at, lower, root] = names;
    leave_the_host(IdMap::find()?.as_ref())?;
    let scratch = Scratch { at, size_mib: 1, owner: (0, 0) };
    mount_scratch(&scratch)?;
    mount_overlay(&Overlay { at: root, lower: vec![lower] }, &scratch)
}
