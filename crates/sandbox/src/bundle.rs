//! The OCI bundle of a sandbox: <https://github.com/opencontainers/runtime-spec>, version 1.0.2.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capabilities, Capability, Linux, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder,
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Mount, MountBuilder, Process,
    ProcessBuilder, RootBuilder, Spec, SpecBuilder,
};

use crate::rootfs::{RUNNER, SEARCH_PATH};
use crate::seccomp;

/// The directory of the runner's socket, inside the sandbox.
pub(crate) const RUN_DIR: &str = "/run/ephemeral";

/// Name of the pipe, beside that socket, whose writer is the driver.
pub(crate) const OWNER: &str = "owner";
/// Where the user namespace of commands is mounted, inside the sandbox.
const USERS: &str = "/run/ephemeral/users";

/// The runner's capabilities where commands run in its user namespace: what it needs to run them as another
/// user. Commands inherit none.
const CAPABILITIES: [Capability; 4] =
    [Capability::Kill, Capability::Setgid, Capability::Setuid, Capability::Setpcap];

/// The namespaces that the OCI runtime always creates. The launcher has already entered a new network
/// namespace, and a new mount namespace outside of this one.
const NAMESPACES: [LinuxNamespaceType; 4] = [
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Mount,
];

/// Largest number of pseudo-terminals of a sandbox. Without it one sandbox could use up those of the
/// whole host.
const MAX_TERMINALS: &str = "max=64";

/// Masked paths, the same as runc's.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
];

/// Read-only paths, the same as runc's.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The parts of a sandbox's configuration that differ between sandboxes.
#[derive(Debug)]
pub(crate) struct Bundle<'a> {
    pub(crate) root: &'a Path,
    /// Sources and destinations of read-only bind mounts: programs of the host.
    pub(crate) programs: &'a [(PathBuf, PathBuf)],
    /// Variables for commands, as `NAME=VALUE`.
    pub(crate) env: &'a [String],
    /// The working directory of commands.
    pub(crate) workdir: &'a Path,
    /// The file of the user namespace for commands, if they don't run in PID 1's.
    pub(crate) users: Option<&'a Path>,
    /// Whether commands may run as root there.
    pub(crate) allow_root: bool,
    /// Bound to [`RUN_DIR`].
    pub(crate) run_dir: &'a Path,
    /// Bound to `/etc/resolv.conf` if the sandbox has a network.
    pub(crate) resolv_conf: Option<&'a Path>,
    /// Size of the file system for the output of jobs, in MiB.
    pub(crate) jobs_mib: u32,
    /// Size of `/dev/shm`, in MiB.
    pub(crate) shm_mib: u32,
    /// The cgroup of PID 1; `None` if it stays in the launcher's, and the OCI runtime may fail to make another.
    pub(crate) cgroups_path: Option<&'a Path>,
    /// Whether the OCI runtime creates the cgroup namespace; else the launcher has done so.
    pub(crate) cgroup_namespace: bool,
    /// The mount points of the sandbox's cgroups, in which the runner creates those of jobs.
    pub(crate) cgroup_dirs: &'a [PathBuf],
    /// Sources and destinations of read-only views of the same cgroups, for programs that adapt to limits.
    pub(crate) cgroup_views: &'a [(PathBuf, PathBuf)],
    /// How long the runner runs at most.
    pub(crate) time_left: Option<Duration>,
    /// Whether the runner ends when the pipe [`OWNER`] in its directory has no writer any more.
    pub(crate) owned: bool,
}

impl Bundle<'_> {
    /// The content of `config.json`.
    pub(crate) fn config(&self) -> Result<Spec, OciSpecError> {
        let root = RootBuilder::default().path(self.root).readonly(false).build()?;
        let mut spec = SpecBuilder::default()
            .version("1.0.2")
            .root(root)
            .hostname("shell")
            .process(self.process()?)
            .mounts(self.mounts()?)
            .linux(self.linux()?)
            .build()?;
        // The builder's default is an empty map.
        spec.set_annotations(None);
        Ok(spec)
    }

    fn linux(&self) -> Result<Linux, OciSpecError> {
        let namespace = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
        let cgroup = self.cgroup_namespace.then_some(LinuxNamespaceType::Cgroup);
        let kinds = NAMESPACES.into_iter().chain(cgroup);
        let namespaces: Vec<LinuxNamespace> = kinds.map(namespace).collect::<Result<_, _>>()?;
        let mut linux = LinuxBuilder::default()
            .namespaces(namespaces)
            .masked_paths(MASKED.map(str::to_owned))
            .readonly_paths(READ_ONLY.map(str::to_owned))
            .seccomp(seccomp::oci()?)
            .build()?;
        linux.set_cgroups_path(self.cgroups_path.map(Path::to_owned));
        // The driver sets the limits itself.
        linux.set_resources(None);
        Ok(linux)
    }

    fn process(&self) -> Result<Process, OciSpecError> {
        let mut args = vec![
            RUNNER.to_owned(),
            "--socket".to_owned(),
            format!("{RUN_DIR}/runner.sock"),
            "--jobs".to_owned(),
            format!("{RUN_DIR}/jobs"),
        ];
        args.push("--image-settings".to_owned());
        if self.users.is_some() {
            args.extend(["--users".to_owned(), USERS.to_owned()]);
            args.extend(self.allow_root.then(|| "--allow-root".to_owned()));
        }
        for dir in self.inner_cgroup_dirs() {
            args.extend(["--cgroup".to_owned(), dir]);
        }
        if let Some(left) = self.time_left {
            args.extend(["--lifetime-ms".to_owned(), left.as_millis().to_string()]);
        }
        if self.owned {
            args.extend(["--owner".to_owned(), format!("{RUN_DIR}/{OWNER}")]);
        }
        let has_path = self.env.iter().any(|variable| variable.starts_with("PATH="));
        let path = (!has_path).then(|| format!("PATH={SEARCH_PATH}"));
        let mut process = ProcessBuilder::default()
            .terminal(false)
            .args(args)
            .env(path.into_iter().chain(self.env.iter().cloned()).collect::<Vec<_>>())
            .cwd(self.workdir)
            .capabilities(self.capabilities()?)
            .no_new_privileges(true)
            .build()?;
        // The builder's default is a limit on open files that the server may not be allowed to set.
        process.set_rlimits(None);
        Ok(process)
    }

    /// PID 1 needs none over a user namespace that its user has created.
    fn capabilities(&self) -> Result<LinuxCapabilities, OciSpecError> {
        let own: Capabilities =
            if self.users.is_some() { Capabilities::new() } else { CAPABILITIES.into() };
        LinuxCapabilitiesBuilder::default()
            .bounding(own.clone())
            .effective(own.clone())
            .permitted(own)
            .inheritable(Capabilities::new())
            .ambient(Capabilities::new())
            .build()
    }

    /// Where the sandbox's cgroups are mounted inside: below a directory that only root can enter.
    fn inner_cgroup_dirs(&self) -> impl Iterator<Item = String> {
        (0..self.cgroup_dirs.len()).map(|number| format!("{RUN_DIR}/cgroup/{number}"))
    }

    fn mounts(&self) -> Result<Vec<Mount>, OciSpecError> {
        let jobs = format!("size={}m", self.jobs_mib);
        let shm = format!("size={}m", self.shm_mib);
        let mut mounts = vec![
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"])?,
            mount("/dev", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=64k"])?,
            mount(
                "/dev/pts",
                "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", MAX_TERMINALS],
            )?,
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &shm])?,
        ];
        for (source, destination) in self.programs {
            mounts.push(bind(source, destination, &["ro"])?);
        }
        for (source, destination) in self.cgroup_views {
            mounts.push(bind(source, destination, &["ro", "noexec"])?);
        }
        mounts.push(bind(self.run_dir, Path::new(RUN_DIR), &["noexec"])?);
        let hidden = ["nosuid", "noexec", "nodev", "mode=700", &jobs];
        mounts.push(mount("/run/ephemeral/jobs", "tmpfs", &hidden)?);
        for (source, destination) in self.cgroup_dirs.iter().zip(self.inner_cgroup_dirs()) {
            mounts.push(bind(source, Path::new(&destination), &["noexec"])?);
        }
        if let Some(file) = self.users {
            mounts.push(bind(file, Path::new(USERS), &["noexec"])?);
        }
        if let Some(file) = self.resolv_conf {
            mounts.push(bind(file, Path::new("/etc/resolv.conf"), &["ro"])?);
        }
        Ok(mounts)
    }
}

fn mount(destination: &str, kind: &str, options: &[&str]) -> Result<Mount, OciSpecError> {
    let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
    MountBuilder::default().destination(destination).typ(kind).source(kind).options(options).build()
}

/// A bind mount that is not recursive: what the host has mounted below `source` is not included.
fn bind(source: &Path, destination: &Path, options: &[&str]) -> Result<Mount, OciSpecError> {
    let options = [&["bind", "nosuid", "nodev"], options].concat();
    let options: Vec<String> = options.into_iter().map(str::to_owned).collect();
    MountBuilder::default()
        .destination(destination)
        .typ("bind")
        .source(source)
        .options(options)
        .build()
}

#[cfg(test)]
mod tests;
