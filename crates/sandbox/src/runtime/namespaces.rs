//! Prepares the container's environment: cgroups, namespaces, mounts and network.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::{AnyError, Isolation, Overlay, Scratch, egress, loop_device, netlink};
use crate::cgroup::CONTROLLERS;
use crate::rootless::IdMap;

pub(super) fn enter_cgroups(procs_files: &[PathBuf]) -> Result<(), AnyError> {
    for procs in procs_files {
        fs::write(procs, "0").map_err(|error| format!("{}: {error}", procs.display()))?;
    }
    Ok(())
}

/// Moves this process to the leaf of the sandbox's cgroup, and enables controllers for its siblings.
pub(super) fn enter_leaf(leaf: Option<&Path>) -> Result<(), AnyError> {
    let Some(leaf) = leaf else { return Ok(()) };
    enter_cgroups(&[leaf.join("cgroup.procs")])?;
    let control = leaf.with_file_name("cgroup.subtree_control");
    if let Err(error) = fs::write(&control, CONTROLLERS) {
        // Not fatal: jobs still have cgroups, which end all of their processes, but no accounting.
        let _ = writeln!(io::stderr(), "failed to write {}: {error}", control.display());
    }
    Ok(())
}

pub(super) fn enter(isolation: &Isolation, leaf: Option<&Path>) -> Result<(), AnyError> {
    let network_command = isolation.network_command.as_deref();
    let network_command =
        network_command.map(|command| self::network_command(command, leaf)).transpose()?;
    unshare_namespaces(isolation.ids.as_ref())?;
    if isolation.cgroup_namespace {
        unshare(UnshareFlags::NEWCGROUP)?;
    }
    for (source, destination) in &isolation.cgroup_mounts {
        mount_bind(source, destination)
            .map_err(|error| format!("failed to mount {}: {error}", source.display()))?;
    }
    netlink::bring_up_loopback()
        .map_err(|error| format!("failed to bring up the loopback interface: {error}"))?;
    if let Some(command) = network_command {
        command.run().map_err(|error| format!("failed to connect the network: {error}"))?;
        // After connecting, because the kernel accepts no route by a gateway that is unreachable.
        egress::restrict(isolation.egress, &isolation.resolvers)
            .map_err(|error| format!("failed to restrict the network: {error}"))?;
    }
    mount_scratch(&isolation.scratch)?;
    match &isolation.overlay {
        Some(overlay) => mount_overlay(overlay, &isolation.scratch),
        None => Ok(()),
    }
}

/// Enters new mount and network namespaces; in rootless mode, a new user namespace before them.
pub(super) fn unshare_namespaces(ids: Option<&IdMap>) -> Result<(), AnyError> {
    if let Some(ids) = ids {
        let mapper = HostCommand::prepare(&ids.script(), None, &[])?;
        unshare(UnshareFlags::NEWUSER)?;
        mapper.run().map_err(|error| format!("failed to write the id mapping: {error}"))?;
    }
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWNET)?;
    // Unmounts on the host propagate into this namespace; its own mounts do not propagate to the host.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}

#[expect(
    unsafe_code,
    reason = "unshare is unsafe for the file descriptor table, not for these flags"
)]
fn unshare(namespaces: UnshareFlags) -> Result<(), AnyError> {
    // SAFETY: these flags affect neither the descriptors nor the memory of this process.
    let done = unsafe { unshare_unsafe(namespaces) };
    done.map_err(|error| format!("failed to create namespaces: {error}").into())
}

/// Hides the cgroup mounts from libcontainer. The launcher is already in the sandbox's cgroups; entering
/// them again in libcontainer's way, by `cgroup.procs`, would take 10 ms or more.
pub(super) fn mask_cgroups() -> Result<(), AnyError> {
    const CGROUPS: &str = "/sys/fs/cgroup";
    match unmount(CGROUPS, UnmountFlags::DETACH) {
        // Rootless mode can't unmount mounts of the host; covering them suffices on cgroup v2.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    mount("tmpfs", CGROUPS, "tmpfs", MountFlags::RDONLY, None)?;
    Ok(())
}

/// A shell script that was started in the host's namespaces and waits until this process, its parent,
/// has entered new ones.
struct HostCommand {
    shell: Child,
}

impl HostCommand {
    /// `name` is `$0` of the script.
    fn prepare(script: &str, name: Option<&Path>, args: &[String]) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("read -r line && {{ {script}; }}"));
        shell.arg(name.unwrap_or(Path::new(""))).args(args);
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

/// Prepares the command that connects the network. It inherits descriptors of this process's namespaces,
/// because pasta drops the privileges that opening them needs.
fn network_command(command: &[String], leaf: Option<&Path>) -> io::Result<HostCommand> {
    // Moves this shell to the leaf, if there is one.
    let script = "if [ -n \"$0\" ]; then echo 0 > \"$0/cgroup.procs\"; fi && \
                  exec 3<\"/proc/$PPID/ns/net\" 4<\"/proc/$PPID/ns/user\" && exec \"$@\"";
    HostCommand::prepare(script, leaf, command)
}

pub(super) fn mount_overlay(overlay: &Overlay, scratch: &Scratch) -> Result<(), AnyError> {
    let (upper, work) = (scratch.at.join("upper"), scratch.at.join("work"));
    create_dir(&upper, 0o755, (0, 0))?;
    create_dir(&work, 0o700, (0, 0))?;
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
        .map_err(|error| format!("failed to mount the overlay: {error}"))?;
    Ok(())
}

/// Escapes the separators of overlay's mount options in a path.
fn escaped(path: &Path) -> Vec<u8> {
    let special = |byte: &u8| matches!(byte, b':' | b',' | b'\\');
    let bytes = path.as_os_str().as_bytes().iter();
    bytes.flat_map(|byte| special(byte).then_some(b'\\').into_iter().chain([*byte])).collect()
}

pub(super) fn mount_scratch(scratch: &Scratch) -> Result<(), AnyError> {
    match &scratch.image {
        Some(image) => loop_device::mount_image(image, &scratch.at)
            .map_err(|error| format!("failed to mount the sandbox's disk: {error}"))?,
        None => {
            let options = format!("size={}m,mode=755", scratch.size_mib);
            let options = CString::new(options)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("tmpfs", &scratch.at, "tmpfs", flags, options.as_c_str())?;
        }
    }
    create_dir(&scratch.at.join("tmp"), 0o1777, (0, 0))?;
    create_dir(&scratch.at.join("home"), 0o700, scratch.owner)
}

/// Creates a directory with exactly this mode and owner.
fn create_dir(dir: &Path, mode: u32, (uid, gid): (u32, u32)) -> Result<(), AnyError> {
    fs::create_dir(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(mode))?;
    Ok(chown(dir, Some(uid), Some(gid))?)
}
