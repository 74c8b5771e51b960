//! Where the container is made: in its control groups, with mounts and a network of its own.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::{AnyError, Overlay, Place, Scratch, links};
use crate::rootless::IdMap;

pub(super) fn enter_cgroups(entrances: &[PathBuf]) -> Result<(), AnyError> {
    for procs in entrances {
        fs::write(procs, "0").map_err(|error| format!("{}: {error}", procs.display()))?;
    }
    Ok(())
}

pub(super) fn enter(place: &Place) -> Result<(), AnyError> {
    let connector = place.connector.as_deref().map(connector).transpose()?;
    leave_the_host(place.ids.as_ref())?;
    links::raise_loopback().map_err(|error| format!("can't bring the loopback up: {error}"))?;
    if let Some(connector) = connector {
        connector.run().map_err(|error| format!("can't connect the network: {error}"))?;
        // Only now: the connector may bring the host's routes along.
        links::forbid_metadata().map_err(|error| format!("can't set a route: {error}"))?;
    }
    mount_scratch(&place.scratch)?;
    match &place.overlay {
        Some(overlay) => mount_overlay(overlay, &place.scratch),
        None => Ok(()),
    }
}

/// New namespaces for mounts and for the network; without root, for users before.
pub(super) fn leave_the_host(ids: Option<&IdMap>) -> Result<(), AnyError> {
    if let Some(ids) = ids {
        let mapper = OutsideCommand::prepare(&ids.script(), &[])?;
        unshare(UnshareFlags::NEWUSER)?;
        mapper.run().map_err(|error| format!("can't map users: {error}"))?;
    }
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWNET)?;
    // What the host unmounts must go here too; nothing may come back.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}

#[expect(unsafe_code, reason = "unshare can take a file table apart; not with our flags")]
fn unshare(namespaces: UnshareFlags) -> Result<(), AnyError> {
    // SAFETY: no namespace has to do with the file descriptors or the memory of this process.
    let done = unsafe { unshare_unsafe(namespaces) };
    done.map_err(|error| format!("can't make namespaces: {error}").into())
}

/// Takes the control groups out of our mounts, so that libcontainer finds none to enter: we are in
/// the right ones, and to enter again by its way would wait for the whole host, 10 ms or more.
pub(super) fn hide_cgroups() -> Result<(), AnyError> {
    const CGROUPS: &str = "/sys/fs/cgroup";
    match unmount(CGROUPS, UnmountFlags::DETACH) {
        // Without root, what the host has mounted stays; to cover it is enough on version 2.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    mount("tmpfs", CGROUPS, "tmpfs", MountFlags::RDONLY, None)?;
    Ok(())
}

/// A shell that waits on the host while we leave it, to act on us then; we are its parent.
struct OutsideCommand {
    shell: Child,
}

impl OutsideCommand {
    fn prepare(script: &str, args: &[String]) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("read -r line && {script}")).arg("sh").args(args);
        Ok(Self { shell: shell.stdin(Stdio::piped()).spawn()? })
    }

    fn run(mut self) -> io::Result<()> {
        if let Some(mut stdin) = self.shell.stdin.take() {
            stdin.write_all(b"\n")?;
        }
        let status = self.shell.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    }
}

/// The command gets our namespaces as files that are open already: a careful program gives the
/// right to open them away before it looks.
fn connector(command: &[String]) -> io::Result<OutsideCommand> {
    let script = "exec 3<\"/proc/$PPID/ns/net\" 4<\"/proc/$PPID/ns/user\" && exec \"$@\"";
    OutsideCommand::prepare(script, command)
}

pub(super) fn mount_overlay(overlay: &Overlay, scratch: &Scratch) -> Result<(), AnyError> {
    let (upper, work) = (scratch.at.join("upper"), scratch.at.join("work"));
    make(&upper, 0o755, (0, 0))?;
    make(&work, 0o700, (0, 0))?;
    let mut options = b"lowerdir=".to_vec();
    let lower: Vec<Vec<u8>> = overlay.lower.iter().map(|dir| escaped(dir)).collect();
    options.extend(lower.join(&b':'));
    for (name, dir) in [("upperdir", &upper), ("workdir", &work)] {
        options.extend(format!(",{name}=").bytes());
        options.extend(escaped(dir));
    }
    let options = CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("overlay", &overlay.at, "overlay", flags, options.as_c_str())
        .map_err(|error| format!("can't mount an overlay: {error}"))?;
    Ok(())
}

/// The separators of overlay's options, in a path.
fn escaped(path: &Path) -> Vec<u8> {
    let special = |byte: &u8| matches!(byte, b':' | b',' | b'\\');
    let bytes = path.as_os_str().as_bytes().iter();
    bytes.flat_map(|byte| special(byte).then_some(b'\\').into_iter().chain([*byte])).collect()
}

pub(super) fn mount_scratch(scratch: &Scratch) -> Result<(), AnyError> {
    let options = format!("size={}m,mode=755", scratch.size_mib);
    let options = CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", &scratch.at, "tmpfs", flags, options.as_c_str())?;
    make(&scratch.at.join("tmp"), 0o1777, (0, 0))?;
    make(&scratch.at.join("home"), 0o700, scratch.owner)
}

fn make(dir: &Path, mode: u32, (uid, gid): (u32, u32)) -> Result<(), AnyError> {
    fs::create_dir(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(mode))?;
    Ok(chown(dir, Some(uid), Some(gid))?)
}
