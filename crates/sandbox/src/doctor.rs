//! Checks what this host can isolate by trying it, and says what to do about what is missing.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::budget::Budget;
use crate::cgroup::Cgroups;
use crate::disk;
use crate::driver::{Config, Runtime};
use crate::host::{self, CgroupLayout};
use crate::rootless::IdMap;
use crate::runtime;
use crate::task::{Network, TaskId, TaskSpec};

mod hostile;

pub use hostile::doctor_hostile;

/// Free space below which the disk check warns.
const LOW_DISK_BYTES: u64 = 1 << 30;
/// The memory of the smallest shell.
const LOW_MEMORY_MIB: u64 = 512;
/// The first version with mount_setattr(2), which sets the flags of mounts.
const OLDEST_KERNEL: (u32, u32) = (5, 12);

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStatus {
    Ok,
    /// An optional feature is missing.
    Warn,
    /// A feature is missing without which no sandbox can be created.
    Fail,
}

/// A checked feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub status: CheckStatus,
    /// What was found.
    pub detail: String,
    /// What to do; empty if the status is `Ok`.
    pub remedy: String,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: CheckStatus::Ok, detail: detail.into(), remedy: String::new() }
    }

    fn fail(name: &'static str, detail: impl Into<String>, remedy: &str) -> Self {
        let remedy = remedy.to_owned();
        Self { name, status: CheckStatus::Fail, detail: detail.into(), remedy }
    }

    fn warn(name: &'static str, detail: impl Into<String>, remedy: &str) -> Self {
        Self { status: CheckStatus::Warn, ..Self::fail(name, detail, remedy) }
    }
}

/// Checks everything that a driver with this configuration needs. Leaves nothing behind.
pub fn doctor(config: &Config) -> Vec<Check> {
    vec![
        kernel(),
        namespaces(config),
        users(config),
        idmapped(config),
        cgroups(),
        seccomp(config),
        landlock(config),
        overlay(config),
        runtime(config),
        egress(),
        disk_space(config),
        disks(config),
        budget(config),
    ]
}

fn kernel() -> Check {
    let name = "kernel";
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= OLDEST_KERNEL {
        Check::ok(name, format!("Linux {release}"))
    } else {
        Check::fail(name, format!("Linux {release}"), "install Linux 5.12 or newer")
    }
}

fn namespaces(config: &Config) -> Check {
    let name = "namespaces";
    let remedy = "run the server as root, on the host itself or in a privileged container";
    let isolated = if rustix::process::geteuid().is_root() {
        "mounts, processes and network can be isolated"
    } else {
        "mounts, processes, network and users can be isolated"
    };
    match probe(config, "namespaces", &std::env::temp_dir()) {
        Ok(()) => Check::ok(name, isolated),
        Err(reason) => Check::fail(name, reason, remedy),
    }
}

/// The host's ids for sandboxes.
fn users(config: &Config) -> Check {
    let name = "uid range";
    if !rustix::process::geteuid().is_root() {
        return match IdMap::find() {
            Ok(_) => Check::ok(name, "all shells have the ids of this user in /etc/subuid"),
            Err(error) => Check::fail(name, error.to_string(), "see the detail"),
        };
    }
    let range = config.uid_range;
    match range.conflict() {
        None => {
            let blocks = range.blocks();
            Check::ok(name, format!("{range}: ids of their own for {blocks} shells at once"))
        }
        Some(owner) => Check::fail(
            name,
            format!("{range} includes {owner}"),
            "choose a free range by --uid-range; the line `ephemeral:FIRST:COUNT` in /etc/subuid and \
             /etc/subgid reserves it",
        ),
    }
}

/// Mounts that show files with other owners.
fn idmapped(config: &Config) -> Check {
    let name = "idmapped mounts";
    if !rustix::process::geteuid().is_root() {
        return Check::ok(name, "not needed without root");
    }
    match probe(config, "idmapped", existing(&config.root)) {
        Ok(()) => Check::ok(name, "files of images keep their owners in shells"),
        Err(reason) => Check::warn(
            name,
            reason,
            "use Linux 5.19 or newer and a file system such as ext4, xfs or btrfs; otherwise the start \
             of a shell changes the owner of each file of its image",
        ),
    }
}

fn cgroups() -> Check {
    let name = "control groups";
    let layout = match CgroupLayout::find() {
        Ok(layout) => layout,
        Err(error) => {
            let remedy = "mount cgroup v2, or v1 with the controllers memory, pids and cpu, at /sys/fs/cgroup";
            return Check::fail(name, error.to_string(), remedy);
        }
    };
    let found = match &layout {
        CgroupLayout::V1 { .. } => "cgroup v1",
        CgroupLayout::V2 { .. } => "cgroup v2",
    };
    match try_limits(layout) {
        Ok(()) if found == "cgroup v1" => Check::warn(
            name,
            format!("{found}; memory, pids and cpu can be limited, but not all memory of sockets"),
            "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1) before running hostile code",
        ),
        Ok(()) => Check::ok(name, format!("{found}; memory, pids and cpu can be limited")),
        Err(error) => {
            let remedy = "run the server as root, or in a delegated cgroup: \
                          systemd-run --user --scope -p Delegate=yes ephemeral up";
            Check::fail(name, format!("{found}, but failed to set limits: {error}"), remedy)
        }
    }
}

fn try_limits(layout: CgroupLayout) -> io::Result<()> {
    let name = format!("ephemeral-doctor-{}", std::process::id());
    let budget = Budget { memory_mib: 128, disk_mib: 1, pids: 32 };
    let cgroups = Cgroups::open(layout, name, budget)?;
    let id = TaskId::of_token("doctor");
    let spec = small_task("doctor");
    let cgroup = cgroups.of(&id);
    let done = cgroup.create(&spec).and_then(|()| cgroup.limit_cpu(&spec));
    let removed = cgroup.destroy(Duration::from_secs(1));
    cgroups.close();
    done.and(removed)
}

/// A task that takes little of the host.
fn small_task(token: &str) -> TaskSpec {
    TaskSpec {
        started_by: String::new(),
        token: token.to_owned(),
        cpu_units: 1024,
        memory_mib: 64,
        pids: 16,
        disk_mib: 1,
        lifetime: None,
        network: Network::None,
    }
}

fn seccomp(config: &Config) -> Check {
    let name = "seccomp";
    match probe(config, "seccomp", &std::env::temp_dir()) {
        Ok(()) => Check::ok(name, "system calls can be filtered"),
        Err(reason) => Check::fail(name, reason, "use a kernel with CONFIG_SECCOMP_FILTER"),
    }
}

/// Whether shells by this runtime get a Landlock domain, as defence in depth.
fn landlock(config: &Config) -> Check {
    let name = "landlock";
    match &config.runtime {
        Runtime::BuiltIn => match probe(config, "landlock", &std::env::temp_dir()) {
            Ok(()) => Check::ok(
                name,
                "a Landlock domain refuses mounts and new devices, in addition to seccomp",
            ),
            Err(reason) => Check::warn(
                name,
                reason,
                "use Linux 5.19 or newer, with landlock in its list of security modules (lsm=)",
            ),
        },
        Runtime::Program(program) if program.is_gvisor() => {
            Check::ok(name, "not used: system calls of commands do not reach this host's kernel")
        }
        Runtime::Program(_) => Check::warn(name, "not used by another runtime", "omit --runtime"),
        Runtime::Bare => Check::warn(name, "not used without sandboxes", "omit --sandbox none"),
    }
}

fn overlay(config: &Config) -> Check {
    let name = "overlayfs";
    match probe(config, "overlay", &std::env::temp_dir()) {
        Ok(()) => Check::ok(name, "the roots of shells can be mounted"),
        Err(reason) => Check::fail(name, reason, "load the kernel module overlay"),
    }
}

fn runtime(config: &Config) -> Check {
    let name = "runtime";
    let program = match &config.runtime {
        Runtime::BuiltIn => return Check::ok(name, "built in"),
        Runtime::Bare => {
            let remedy = "omit --sandbox none if this host can run sandboxes";
            return Check::warn(name, "none: commands run on the host itself", remedy);
        }
        Runtime::Program(program) => program,
    };
    let output = Command::new(&program.path)
        .args(&program.args)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout);
            Check::ok(name, version.lines().next().unwrap_or_default())
        }
        Ok(output) => Check::fail(name, output.status.to_string(), "choose another --runtime"),
        Err(error) => {
            let detail = format!("{}: {error}", program.path.display());
            Check::fail(name, detail, "install it or omit --runtime")
        }
    }
}

fn egress() -> Check {
    let name = "network";
    match host::find_pasta() {
        Ok(path) => {
            Check::ok(name, format!("{} can connect shells to the network", path.display()))
        }
        Err(missing) => Check::warn(
            name,
            missing,
            "install pasta (Debian's package passt) and make /dev/net/tun accessible; without them shells \
                    have no network",
        ),
    }
}

fn disk_space(config: &Config) -> Check {
    let name = "disk";
    let existing = existing(&config.root);
    match rustix::fs::statvfs(existing) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let detail = format!("{} MiB free at {}", free >> 20, existing.display());
            if free >= LOW_DISK_BYTES {
                Check::ok(name, detail)
            } else {
                Check::warn(name, detail, "free disk space or choose another --data-dir")
            }
        }
        Err(error) => Check::fail(name, error.to_string(), "choose another --data-dir"),
    }
}

/// The directory, or the nearest one above it that exists.
fn existing(dir: &Path) -> &Path {
    dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"))
}

fn disks(config: &Config) -> Check {
    let name = "disks";
    let dir = std::env::temp_dir().join(format!("ephemeral-doctor-{}-disks", std::process::id()));
    let found = disk::find(config, dir.clone());
    // Without root there is no directory.
    let _ = fs::remove_dir_all(dir);
    match found {
        Ok(_) => {
            Check::ok(name, "each shell gets a disk of its own: an ext4 image on this storage")
        }
        Err(reason) => Check::warn(
            name,
            format!("{reason}; the files of shells are held in memory, at most half of its limit"),
            "run the server as root with e2fsprogs installed and /dev/loop-control accessible",
        ),
    }
}

/// What all shells together may use.
fn budget(config: &Config) -> Check {
    let Budget { memory_mib, disk_mib, pids } = config.budget;
    let detail = format!(
        "all shells together may use {memory_mib} MiB of memory, {disk_mib} MiB of disk and {pids} processes"
    );
    if memory_mib >= LOW_MEMORY_MIB && disk_mib >= disk::DEFAULT_MIB.into() {
        Check::ok("budget", detail)
    } else {
        Check::warn(
            "budget",
            detail,
            "free memory and disk space, or give --memory-budget and --disk-budget",
        )
    }
}

/// Runs the launcher's probe of a feature in a new directory below `base`.
///
/// # Errors
/// The reason why the feature does not work.
fn probe(config: &Config, what: &str, base: &Path) -> Result<(), String> {
    let dir = base.join(format!("ephemeral-doctor-{}-{what}", std::process::id()));
    fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let block = rustix::process::geteuid().is_root().then(|| config.uid_range.block(0));
    let done = runtime::probe(&config.exe, what, &dir, block);
    let removed = fs::remove_dir_all(&dir).map_err(|error| error.to_string());
    done.and(removed)
}
