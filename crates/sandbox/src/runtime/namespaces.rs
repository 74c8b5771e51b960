//! Prepares the container's environment: cgroups, namespaces, mounts and network.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::{AnyError, Isolation, Scratch, netlink, root, sysctl};
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
        // After connecting, because pasta copies the host's routes.
        netlink::block_metadata_addresses()
            .map_err(|error| format!("failed to add an unreachable route: {error}"))?;
    }
    sysctl::permit_low_ports_and_ping()?;
    mount_scratch(&isolation.scratch)?;
    root::mount(&isolation.root, &isolation.scratch)?;
    root::prepare(&isolation.root, &isolation.home)?;
    isolation.programs.iter().try_for_each(root::mount_read_only)
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

pub(super) fn mount_scratch(scratch: &Scratch) -> Result<(), AnyError> {
    let options = format!("size={}m,mode=755", scratch.size_mib);
    let options = CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", &scratch.at, "tmpfs", flags, options.as_c_str())?;
    Ok(())
}
