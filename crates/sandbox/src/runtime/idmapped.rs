//! Shows directories of the host with a sandbox's ids: mount_setattr(2).

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::uid_range::Block;

/// Mounts `source` at `target`, where each file belongs to the id of the user namespace that its owner's
/// number has there. Mounts below `source` are not included.
///
/// # Errors
/// `InvalidInput` or `PermissionDenied` if the file system or the kernel has no such mounts.
pub(super) fn mount_idmapped(source: &Path, target: &Path, users: &OwnedFd) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, source, flags)?;
    set_id_map(&tree, users)?;
    Ok(move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Gives every file below `dir` to the host id of its owner. An overlay above layers that can't be mounted
/// with other owners needs it; with the option `metacopy` it copies no content.
pub(super) fn give_to_block(dir: &Path, block: Block) -> io::Result<()> {
    let found = fs::symlink_metadata(dir)?;
    if found.is_dir() {
        for entry in fs::read_dir(dir)? {
            give_to_block(&entry?.path(), block)?;
        }
    }
    // The directory of the sandbox itself has its owner already.
    let host_id = |id| if block.contains(id) { id } else { block.host_id(id) };
    lchown(dir, Some(host_id(found.uid())), Some(host_id(found.gid())))
}

#[expect(unsafe_code, reason = "rustix has no function for mount_setattr")]
fn set_id_map(tree: &OwnedFd, users: &OwnedFd) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(users.as_raw_fd()).map_err(io::Error::other)?,
    };
    // SAFETY: open descriptors, an empty string that is NUL-terminated, and a live struct of this size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
