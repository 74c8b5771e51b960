//! Prepares the container's environment: cgroups, namespaces, mounts and network.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::idmapped::{give_to_block, mount_idmapped};
use super::users::{NewUserNamespaces, UserNamespaces};
use super::{AnyError, Isolation, Overlay, Scratch, USERS, devices, netlink};
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
    if let Some(overlay) = &isolation.overlay {
        mount_overlay(overlay, &isolation.scratch, users.as_ref())?;
    }
    if mask {
        mask_cgroups()?;
    }
    if let Some(users) = &users {
        users.mount_stage(isolation)?;
        users.enter()?;
    }
    connect(network_command.transpose()?)
}

fn bind(source: &Path, target: &Path) -> Result<(), AnyError> {
    mount_bind(source, target)
        .map_err(|error| format!("failed to mount {}: {error}", source.display()).into())
}

/// Enters a new network namespace, which belongs to the current user namespace.
fn connect(network_command: Option<HostCommand>) -> Result<(), AnyError> {
    unshare(UnshareFlags::NEWNET)?;
    netlink::bring_up_loopback()
        .map_err(|error| format!("failed to bring up the loopback interface: {error}"))?;
    if let Some(command) = network_command {
        command.run().map_err(|error| format!("failed to connect the network: {error}"))?;
        // After connecting, because pasta copies the host's routes.
        netlink::block_metadata_addresses()
            .map_err(|error| format!("failed to add an unreachable route: {error}"))?;
    }
    Ok(())
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
    block: Block,
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
        if let Some((source, target)) = &isolation.root
            && mount_idmapped(source, target, inner).is_err()
        {
            // The files are nobody's then; everybody may read those that matter.
            bind(source, target)?;
        }
        for (source, target) in &isolation.shared {
            bind(source, target)?;
        }
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

/// Mounts the overlay, with the ids of the users if there are any.
pub(super) fn mount_overlay(
    overlay: &Overlay,
    scratch: &Scratch,
    users: Option<&Users>,
) -> Result<(), AnyError> {
    create_dir(&scratch.at.join("upper"), 0o755, scratch.root)?;
    create_dir(&scratch.at.join("work"), 0o700, (0, 0))?;
    let Some(users) = users else { return mount_layers(overlay, &overlay.lower, scratch, "") };
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
    let (upper, work) = (scratch.at.join("upper"), scratch.at.join("work"));
    let mut options = b"lowerdir=".to_vec();
    let lower: Vec<Vec<u8>> = lower.iter().map(|dir| escaped(dir)).collect();
    options.extend(lower.join(&b':'));
    for (name, dir) in [("upperdir", &upper), ("workdir", &work)] {
        options.extend(format!(",{name}=").bytes());
        options.extend(escaped(dir));
    }
    options.extend(extra.bytes());
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
    let options = format!("size={}m,mode=755", scratch.size_mib);
    let options = CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", &scratch.at, "tmpfs", flags, options.as_c_str())?;
    create_dir(&scratch.at.join("tmp"), 0o1777, scratch.root)?;
    create_dir(&scratch.at.join("home"), 0o700, scratch.owner)
}

/// Creates a directory with exactly this mode and owner.
fn create_dir(dir: &Path, mode: u32, (uid, gid): (u32, u32)) -> Result<(), AnyError> {
    fs::create_dir(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(mode))?;
    Ok(chown(dir, Some(uid), Some(gid))?)
}
