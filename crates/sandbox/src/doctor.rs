//! Checks what this host can isolate by trying it, and says what to do about what is missing.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cgroup::Cgroups;
use crate::driver::{Config, Runtime};
use crate::host::{self, CgroupLayout};
use crate::task::{Network, TaskId, TaskSpec};

mod hostile;

pub use hostile::doctor_hostile;

/// Free space below which the disk check warns.
const LOW_DISK_BYTES: u64 = 1 << 30;
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
        cgroups(),
        seccomp(config),
        overlay(config),
        runtime(config),
        egress(),
        disk(config),
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
    match probe(config, "namespaces") {
        Ok(()) => Check::ok(name, isolated),
        Err(reason) => Check::fail(name, reason, remedy),
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
        Ok(()) => Check::ok(name, format!("{found}; memory, pids and cpu can be limited")),
        Err(error) => {
            let remedy = "run the server as root, or in a delegated cgroup: \
                          systemd-run --user --scope -p Delegate=yes ephemeral up";
            Check::fail(name, format!("{found}, but failed to set limits: {error}"), remedy)
        }
    }
}

fn try_limits(layout: CgroupLayout) -> io::Result<()> {
    let cgroups = Cgroups::open(layout, format!("ephemeral-doctor-{}", std::process::id()))?;
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
        tmpfs_mib: 1,
        network: Network::None,
    }
}

fn seccomp(config: &Config) -> Check {
    let name = "seccomp";
    match probe(config, "seccomp") {
        Ok(()) => Check::ok(name, "system calls can be filtered"),
        Err(reason) => Check::fail(name, reason, "use a kernel with CONFIG_SECCOMP_FILTER"),
    }
}

fn overlay(config: &Config) -> Check {
    let name = "overlayfs";
    match probe(config, "overlay") {
        Ok(()) => Check::ok(name, "images from files can be used"),
        Err(reason) => Check::warn(
            name,
            reason,
            "load the kernel module overlay; without it only the image host can be used",
        ),
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

fn disk(config: &Config) -> Check {
    let name = "disk";
    // The directory itself may not exist yet.
    let existing = config.root.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
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

/// Runs the launcher's probe of a feature.
///
/// # Errors
/// The reason why the feature does not work.
fn probe(config: &Config, what: &str) -> Result<(), String> {
    let dir = std::env::temp_dir().join(format!("ephemeral-doctor-{}-{what}", std::process::id()));
    fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let args = ["runtime".as_ref(), "probe".as_ref(), OsStr::new(what), dir.as_os_str()];
    let output = Command::new(&config.exe).args(args).stdin(Stdio::null()).output();
    let removed = fs::remove_dir_all(&dir).map_err(|error| error.to_string());
    let output = output.map_err(|error| format!("{}: {error}", config.exe.display()))?;
    if output.status.success() {
        return removed;
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
