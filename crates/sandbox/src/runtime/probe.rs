//! Tries one feature that sandboxes need, in a process that exits afterwards.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::thread::UnshareFlags;

use super::idmapped::mount_idmapped;
use super::namespaces::{Users, enter_own_users, mount_scratch, unshare, unshare_mounts};
use super::{AnyError, Overlay, Scratch, root};
use crate::disk;
use crate::rootless::IdMap;
use crate::uid_range::Block;
use crate::{landlock, seccomp};

/// Tries the feature `what` in the empty directory `dir`. A server that is root needs a block.
pub(super) fn run(what: &OsStr, dir: &Path, block: Option<Block>) -> Result<(), AnyError> {
    match what.to_str() {
        Some("namespaces") => namespaces(block),
        Some("seccomp") => seccomp::confine(),
        Some("landlock") => landlock(dir, block),
        Some("overlay") => overlay(dir, block),
        Some("idmapped") => idmapped(dir, block),
        Some("disk") => disk(dir),
        _ => {
            Err("usage: runtime probe namespaces|seccomp|landlock|overlay|idmapped|disk DIRECTORY [UID]"
                .into())
        }
    }
}

fn namespaces(block: Option<Block>) -> Result<(), AnyError> {
    let users = block.map(Users::create).transpose()?;
    enter_own_users(own_ids(block)?.as_ref())?;
    unshare_mounts()?;
    if let Some(users) = users {
        users.enter()?;
    }
    unshare(UnshareFlags::NEWNET)
}

/// Enters the domain of a sandbox, and tries a mount that was possible before.
fn landlock(dir: &Path, block: Option<Block>) -> Result<(), AnyError> {
    enter_own_users(own_ids(block)?.as_ref())?;
    unshare_mounts()?;
    mount_tmpfs(dir)?;
    if !landlock::confine()? {
        return Err("this kernel has no Landlock, or only its first version".into());
    }
    match mount_tmpfs(dir) {
        Err(Errno::PERM) => Ok(()),
        Ok(()) => Err("the kernel does not refuse mounts to a Landlock domain".into()),
        Err(error) => Err(error.into()),
    }
}

fn mount_tmpfs(dir: &Path) -> Result<(), Errno> {
    mount("tmpfs", dir, "tmpfs", MountFlags::empty(), c"size=4k")
}

fn own_ids(block: Option<Block>) -> Result<Option<IdMap>, AnyError> {
    if block.is_some() { Ok(None) } else { Ok(IdMap::find()?) }
}

fn overlay(dir: &Path, block: Option<Block>) -> Result<(), AnyError> {
    let names = ["scratch", "lower", "root"].map(|name| dir.join(name));
    for name in &names {
        fs::create_dir(name)?;
    }
    let [at, lower, target] = names;
    let users = block.map(Users::create).transpose()?;
    enter_own_users(own_ids(block)?.as_ref())?;
    unshare_mounts()?;
    let scratch = Scratch { at, image: None, size_mib: 1, root: (0, 0) };
    mount_scratch(&scratch)?;
    root::mount(&Overlay { at: target, lower: vec![lower] }, &scratch, users.as_ref())
}

/// Mounts this directory with other owners.
fn idmapped(dir: &Path, block: Option<Block>) -> Result<(), AnyError> {
    let users = Users::create(block.ok_or("a UID is missing")?)?;
    unshare_mounts()?;
    let target = dir.join("target");
    fs::create_dir(&target)?;
    mount_idmapped(dir, &target, users.inner()).map_err(|error| {
        format!("files in {} can't be shown with other owners: {error}", dir.display()).into()
    })
}

/// Mounts the image of a disk that is in `dir`.
fn disk(dir: &Path) -> Result<(), AnyError> {
    let at = dir.join("scratch");
    fs::create_dir(&at)?;
    let image = Some(dir.join(disk::FILE));
    unshare_mounts()?;
    mount_scratch(&Scratch { at, image, size_mib: 0, root: (0, 0) })
}
