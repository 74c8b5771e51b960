//! Device files of a sandbox's own.
//!
//! In a user namespace no device can be created, so OCI runtimes bind the host's. The launcher puts others in
//! their place, in its mount namespace: locks and inotify events of the host's files would be shared with the
//! host and with other sandboxes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::{MountFlags, mount, mount_bind};

use super::AnyError;
use crate::uid_range::Block;

/// A file in `/dev` with its major and minor number: see the kernel's devices.txt.
type Device = (&'static str, u32, u32);

/// The devices that OCI runtimes provide. Everybody may use them.
const DEVICES: [Device; 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
/// For the program that connects the network, which runs as the user of PID 1.
const TUN: Device = ("net/tun", 10, 200);

/// Mounts devices that belong to the block over the host's, and keeps them in the directory `dir`.
pub(super) fn mount_own(dir: &Path, block: Block, network: bool) -> Result<(), AnyError> {
    fs::create_dir(dir)?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("tmpfs", dir, "tmpfs", flags, c"size=64k,mode=755")?;
    for device in DEVICES {
        mount_device(dir, device, block.host_id(0), 0o666)?;
    }
    if network {
        mount_device(dir, TUN, block.runner(), 0o600)?;
    }
    Ok(())
}

fn mount_device(
    dir: &Path,
    (name, major, minor): Device,
    owner: u32,
    mode: u32,
) -> Result<(), AnyError> {
    let (own, host) = (dir.join(name.replace('/', "-")), Path::new("/dev").join(name));
    let failed = |error| format!("failed to create the device {}: {error}", host.display());
    mknodat(CWD, &own, FileType::CharacterDevice, Mode::empty(), makedev(major, minor))
        .map_err(failed)?;
    chown(&own, Some(owner), Some(owner))?;
    fs::set_permissions(&own, fs::Permissions::from_mode(mode))?;
    Ok(mount_bind(&own, &host).map_err(failed)?)
}
