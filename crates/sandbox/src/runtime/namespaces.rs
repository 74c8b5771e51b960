//! Prepares the container's environment: cgroups, namespaces, mounts and network.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::users::{NewUserNamespaces, UserNamespaces};
use super::{
    AnyError, Isolation, Scratch, USERS, devices, egress, loop_device, netlink, root, sysctl,
};
use crate::cgroup::{CONTROLLERS, LEAF_CPU_WEIGHT};
use crate::rootless::IdMap;
use crate::uid_range::{self, Block};

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
    // Fails with the controller.
    let _ = fs::write(leaf.join("cpu.weight"), LEAF_CPU_WEIGHT);
    Ok(())
}

/// Makes the sandbox's mounts and enters its namespaces. If there is a block, this process is root only in
/// the sandbox's user namespace afterwards. `mask` hides the cgroup mounts from libcontainer.
pub(super) fn enter(
    isolation: &Isolation,
    leaf: Option<&Path>,
    mask: bool,
) -> Result<(), AnyError> {
    let prepare = |leaf| {
        let command = isolation.network_command.as_deref();
        command.map(|command| network_command(command, leaf)).transpose()
    };
    // Outside of the user namespace, and without root's rights over the host's mounts.
    let mut network_command = isolation.ids.as_ref().and_then(|_| prepare(leaf).transpose());
    enter_own_users(isolation.ids.as_ref())?;
    if isolation.cgroup_namespace {
        unshare(UnshareFlags::NEWCGROUP)?;
    }
    enter_leaf(leaf)?;
    // Created by another process while this one makes mounts.
    let new_users = isolation.block.map(NewUserNamespaces::start).transpose()?;
    unshare_mounts()?;
    if let Some(block) = isolation.block {
        let dir = isolation.scratch.at.with_file_name("dev");
        devices::mount_own(&dir, block, isolation.network_command.is_some())?;
        network_command = prepare(None).transpose();
    }
    for (source, destination) in &isolation.cgroup_mounts {
        bind(source, destination)?;
    }
    mount_scratch(&isolation.scratch)?;
    let users = new_users.map(NewUserNamespaces::finish).transpose()?;
    let users = isolation.block.zip(users).map(|(block, namespaces)| Users { block, namespaces });
    root::mount(&isolation.root, &isolation.scratch, users.as_ref())?;
    root::prepare(isolation)?;
    isolation.programs.iter().try_for_each(root::mount_read_only)?;
    if mask {
        mask_cgroups()?;
    }
    if let Some(users) = &users {
        users.mount_stage(isolation)?;
        users.enter()?;
    }
    connect(isolation, network_command.transpose()?)
}

fn bind(source: &Path, target: &Path) -> Result<(), AnyError> {
    mount_bind(source, target)
        .map_err(|error| format!("failed to mount {}: {error}", source.display()).into())
}

/// Enters a new network namespace, which belongs to the current user namespace.
fn connect(isolation: &Isolation, network_command: Option<HostCommand>) -> Result<(), AnyError> {
    unshare(UnshareFlags::NEWNET)?;
    netlink::bring_up_loopback()
        .map_err(|error| format!("failed to bring up the loopback interface: {error}"))?;
    if let Some(command) = network_command {
        command.run().map_err(|error| format!("failed to connect the network: {error}"))?;
        // After connecting, because the kernel accepts no route by a gateway that is unreachable.
        egress::restrict(isolation.egress, &isolation.resolvers)
            .map_err(|error| format!("failed to restrict the network: {error}"))?;
    }
    sysctl::permit_low_ports_and_ping()
}

/// In rootless mode, enters a new user namespace.
pub(super) fn enter_own_users(ids: Option<&IdMap>) -> Result<(), AnyError> {
    let Some(ids) = ids else { return Ok(()) };
    let mapper = HostCommand::prepare(&ids.script(), None, &[])?;
    unshare(UnshareFlags::NEWUSER)?;
    mapper.run().map_err(|error| format!("failed to write the id mapping: {error}").into())
}

/// Enters a new mount namespace.
pub(super) fn unshare_mounts() -> Result<(), AnyError> {
    unshare(UnshareFlags::NEWNS)?;
    // Unmounts on the host propagate into this namespace; its own mounts do not propagate to the host.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}

/// The ids of a sandbox whose server is root.
pub(super) struct Users {
    pub(super) block: Block,
    namespaces: UserNamespaces,
}

impl Users {
    pub(super) fn create(block: Block) -> Result<Self, AnyError> {
        Ok(Self { block, namespaces: NewUserNamespaces::start(block)?.finish()? })
    }

    pub(super) fn enter(&self) -> io::Result<()> {
        self.namespaces.enter()
    }

    /// The namespace of commands, whose ids are those of the image.
    pub(super) fn inner(&self) -> &OwnedFd {
        self.namespaces.inner()
    }

    /// Mounts the sandbox's directory, with the mounts below it, where the users of the block can reach it.
    fn mount_stage(&self, isolation: &Isolation) -> Result<(), AnyError> {
        let inner = self.inner();
        let dir = isolation.scratch.at.parent().ok_or("the scratch has no parent")?;
        let namespace = format!("/proc/self/fd/{}", inner.as_raw_fd());
        mount_bind(namespace, dir.join(USERS))?;
        mount_bind_recursive(dir, uid_range::stage())
            .map_err(|error| format!("failed to mount the sandbox's directory: {error}").into())
    }
}

#[expect(
    unsafe_code,
    reason = "unshare is unsafe for the file descriptor table, not for these flags"
)]
pub(super) fn unshare(namespaces: UnshareFlags) -> Result<(), AnyError> {
    // SAFETY: these flags affect neither the descriptors nor the memory of this process.
    let done = unsafe { unshare_unsafe(namespaces) };
    done.map_err(|error| format!("failed to create namespaces: {error}").into())
}

/// Hides the cgroup mounts from libcontainer. The launcher is already in the sandbox's cgroups; entering
/// them again in libcontainer's way, by `cgroup.procs`, would take 10 ms or more.
fn mask_cgroups() -> Result<(), AnyError> {
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
    Ok(())
}
