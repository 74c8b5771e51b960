//! The OCI bundle of a sandbox: <https://github.com/opencontainers/runtime-spec>, version 1.0.2.

use std::path::{Path, PathBuf};

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
    /// Whether the root belongs to this sandbox alone.
    pub(crate) writable: bool,
    /// Directories to bind read-only: their sources, and their paths inside.
    pub(crate) shared: &'a [(PathBuf, PathBuf)],
    /// The file of the user namespace for commands, if they don't run in PID 1's.
    pub(crate) users: Option<&'a Path>,
    /// Whether commands may run as root there.
    pub(crate) allow_root: bool,
    /// Bound to [`RUN_DIR`].
    pub(crate) run_dir: &'a Path,
    /// Bound to `/tmp`.
    pub(crate) tmp: &'a Path,
    /// The source and the destination of the bind mount of shelluser's home.
    pub(crate) home: (&'a Path, &'a Path),
    /// Bound to `/etc/resolv.conf` if the sandbox has a network.
    pub(crate) resolv_conf: Option<&'a Path>,
    /// Size of the file system for the output of jobs, in MiB.
    pub(crate) jobs_mib: u32,
    /// The cgroup of PID 1; `None` if it stays in the launcher's, and the OCI runtime may fail to make another.
    pub(crate) cgroups_path: Option<&'a Path>,
    /// Whether the OCI runtime creates the cgroup namespace; else the launcher has done so.
    pub(crate) cgroup_namespace: bool,
    /// The mount points of the sandbox's cgroups, in which the runner creates those of jobs.
    pub(crate) cgroup_dirs: &'a [PathBuf],
}

impl Bundle<'_> {
    /// The content of `config.json`.
    pub(crate) fn config(&self) -> Result<Spec, OciSpecError> {
        let root = RootBuilder::default().path(self.root).readonly(!self.writable).build()?;
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
        if self.users.is_some() {
            args.extend(["--users".to_owned(), USERS.to_owned()]);
            args.extend(self.allow_root.then(|| "--allow-root".to_owned()));
        }
        for dir in self.inner_cgroup_dirs() {
            args.extend(["--cgroup".to_owned(), dir]);
        }
        let mut process = ProcessBuilder::default()
            .terminal(false)
            .args(args)
            .env([format!("PATH={SEARCH_PATH}")])
            .cwd("/")
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
        let mut mounts = vec![
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"])?,
            mount("/dev", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=64k"])?,
            mount(
                "/dev/pts",
                "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            )?,
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=64m"])?,
        ];
        for (source, destination) in self.shared {
            mounts.push(bind(source, destination, &["ro"])?);
        }
        mounts.push(bind(self.tmp, Path::new("/tmp"), &[])?);
        mounts.push(bind(self.home.0, self.home.1, &[])?);
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
