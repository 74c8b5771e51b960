//! Mounts the root of a sandbox, and the host's programs.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, unmount};

use super::idmapped::{give_to_block, mount_idmapped};
use super::namespaces::Users;
use super::{AnyError, Home, Isolation, Overlay, Scratch};
use crate::image::Tree;

/// Mounts an overlay whose changes are stored in the scratch directory, with the ids of the users if there
/// are any.
pub(super) fn mount(
    overlay: &Overlay,
    scratch: &Scratch,
    users: Option<&Users>,
) -> Result<(), AnyError> {
    create_dir(&scratch.at.join("upper"), 0o755, scratch.root)?;
    create_dir(&scratch.at.join("work"), 0o700, (0, 0))?;
    let Some(users) = users else {
        // Only root of the host may set the attributes that overlayfs uses otherwise.
        let attributes = if in_user_namespace() { ",userxattr" } else { "" };
        return mount_layers(overlay, &overlay.lower, scratch, attributes);
    };
    let layers = scratch.at.join("layers");
    create_dir(&layers, 0o755, (0, 0))?;
    let lower: Vec<PathBuf> =
        (0..overlay.lower.len()).map(|n| layers.join(n.to_string())).collect();
    let mounted = overlay.lower.iter().zip(&lower).try_for_each(|(layer, at)| {
        fs::create_dir(at)?;
        mount_idmapped(layer, at, users.inner())
    });
    let mounted = mounted.map_err(Into::into);
    let mounted = mounted.and_then(|()| mount_layers(overlay, &lower, scratch, ""));
    // The overlay keeps what it uses.
    for at in &lower {
        let _ = unmount(at, UnmountFlags::DETACH);
    }
    if mounted.is_ok() {
        return Ok(());
    }
    mount_layers(overlay, &overlay.lower, scratch, ",metacopy=on")?;
    give_to_block(&overlay.at, users.block).map_err(|error| {
        format!("failed to change the owners of the image's files: {error}").into()
    })
}

fn mount_layers(
    overlay: &Overlay,
    lower: &[PathBuf],
    scratch: &Scratch,
    extra: &str,
) -> Result<(), AnyError> {
    let mut options = lower_option(lower);
    for name in ["upper", "work"] {
        options.extend(format!(",{name}dir=").bytes());
        options.extend(escaped(&scratch.at.join(name)));
    }
    options.extend(extra.bytes());
    mount_overlay(&overlay.at, options, MountFlags::empty())
}

/// Mounts an overlay that only combines its layers.
pub(super) fn mount_read_only(overlay: &Overlay) -> Result<(), AnyError> {
    mount_overlay(&overlay.at, lower_option(&overlay.lower), MountFlags::RDONLY)
}

fn mount_overlay(at: &Path, options: Vec<u8>, flags: MountFlags) -> Result<(), AnyError> {
    let options = CString::new(options)?;
    let flags = flags | MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("overlay", at, "overlay", flags, options.as_c_str())
        .map_err(|error| format!("failed to mount the overlay at {}: {error}", at.display()).into())
}

/// Creates what differs between sandboxes with the same layers: the home directory of shelluser and the
/// number in `/etc/machine-id`, which must not identify this host.
pub(super) fn prepare(isolation: &Isolation) -> Result<(), AnyError> {
    // Links of an image must not lead out of the root.
    let tree = Tree::open(&isolation.root.at)?;
    let (root_uid, root_gid) = isolation.scratch.root;
    prepare_home(&tree, &isolation.home, root_uid)?;
    let id = tree.entry(Path::new("etc/machine-id"))?;
    if id.is_absent_or_empty() {
        let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let number = uuid.replace('-', "");
        id.make_file(&mut number.as_bytes(), 0o444)?;
        id.chown(root_uid, root_gid)?;
    }
    Ok(())
}

fn prepare_home(tree: &Tree, home: &Home, root_uid: u32) -> Result<(), AnyError> {
    if home.path == Path::new("/") {
        return Ok(());
    }
    let found = tree.resolved(&home.path)?;
    let is_new = found.is_none();
    if is_new {
        tree.ensure(&home.path)?;
    }
    let Some(dir) = tree.resolved(&home.path)? else { return Ok(()) };
    let owner = dir.owner()?;
    // A server without root could not keep the owners of an image's files. The home of a system user may
    // be a directory like /usr/sbin, which is not its own.
    let is_lost = owner.0 == root_uid && (in_user_namespace() || home.path.starts_with("/home"));
    if is_new {
        dir.set_mode(0o700)?;
    }
    if (is_new || is_lost) && owner != (home.uid, home.gid) {
        dir.chown(home.uid, home.gid)?;
    }
    Ok(())
}

/// The first mapping of this process's user namespace is that of all ids only in the initial one.
fn in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

fn lower_option(lower: &[PathBuf]) -> Vec<u8> {
    let lower: Vec<Vec<u8>> = lower.iter().map(|dir| escaped(dir)).collect();
    [b"lowerdir=".as_slice(), &lower.join(&b':')].concat()
}

/// Escapes the separators of overlay's mount options in a path.
fn escaped(path: &Path) -> Vec<u8> {
    let special = |byte: &u8| matches!(byte, b':' | b',' | b'\\');
    let bytes = path.as_os_str().as_bytes().iter();
    bytes.flat_map(|byte| special(byte).then_some(b'\\').into_iter().chain([*byte])).collect()
}

/// Creates a directory with exactly this mode and owner.
fn create_dir(dir: &Path, mode: u32, (uid, gid): (u32, u32)) -> Result<(), AnyError> {
    fs::create_dir(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(mode))?;
    Ok(chown(dir, Some(uid), Some(gid))?)
}
