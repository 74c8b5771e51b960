//! The OCI bundle of a sandbox: <https://github.com/opencontainers/runtime-spec>, version 1.0.2.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::rootfs::{RUNNER, SEARCH_PATH};
use crate::seccomp;

/// Where the runner keeps its socket, inside.
pub(crate) const RUN_DIR: &str = "/run/ephemeral";

/// What the runner needs to work as another user, and nothing for the commands to inherit.
const CAPABILITIES: [&str; 4] = ["CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP"];

/// Hidden, as runc has them.
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

/// Not to be written to, as runc has them.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What one sandbox's configuration depends on.
#[derive(Debug)]
pub(crate) struct Bundle<'a> {
    pub(crate) root: &'a Path,
    /// Whether the root is a copy of the sandbox's own.
    pub(crate) writable: bool,
    /// Directories of the host to show, read-only, at the same path.
    pub(crate) shared: &'a [PathBuf],
    /// Bound to [`RUN_DIR`].
    pub(crate) run_dir: &'a Path,
    /// Bound to `/tmp`.
    pub(crate) tmp: &'a Path,
    /// Bound to the home of shelluser, which is the second.
    pub(crate) home: (&'a Path, &'a Path),
    /// A `resolv.conf`, where there is something to resolve.
    pub(crate) resolv_conf: Option<&'a Path>,
    /// For the output of jobs, MiB.
    pub(crate) jobs_mib: u32,
    pub(crate) cgroups_path: &'a Path,
}

impl Bundle<'_> {
    /// `config.json`. Neither a mount namespace's outside nor a network is named in it: the launcher
    /// has entered new ones before the runtime starts.
    pub(crate) fn config(&self) -> Value {
        let args = [
            RUNNER.to_owned(),
            "--socket".to_owned(),
            format!("{RUN_DIR}/runner.sock"),
            "--jobs".to_owned(),
            format!("{RUN_DIR}/jobs"),
        ];
        let namespaces =
            ["pid", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({ "type": kind }));
        json!({
            "ociVersion": "1.0.2",
            "root": { "path": self.root, "readonly": !self.writable },
            "hostname": "shell",
            "process": {
                "terminal": false,
                "user": { "uid": 0, "gid": 0 },
                "args": args,
                "env": [format!("PATH={SEARCH_PATH}")],
                "cwd": "/",
                "capabilities": {
                    "bounding": CAPABILITIES,
                    "effective": CAPABILITIES,
                    "permitted": CAPABILITIES,
                    "inheritable": [],
                    "ambient": [],
                },
                "noNewPrivileges": true,
            },
            "mounts": self.mounts(),
            "linux": {
                "cgroupsPath": self.cgroups_path,
                "namespaces": namespaces,
                "maskedPaths": MASKED,
                "readonlyPaths": READ_ONLY,
                "seccomp": seccomp::oci(),
            },
        })
    }

    fn mounts(&self) -> Vec<Value> {
        let jobs = format!("size={}m", self.jobs_mib);
        let mut mounts = vec![
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=64k"]),
            mount(
                "/dev/pts",
                "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            ),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]),
        ];
        mounts.extend(self.shared.iter().map(|dir| bind(dir, dir, &["ro"])));
        mounts.push(bind(self.tmp, Path::new("/tmp"), &[]));
        mounts.push(bind(self.home.0, self.home.1, &[]));
        mounts.push(bind(self.run_dir, Path::new(RUN_DIR), &["noexec"]));
        let hidden = ["nosuid", "noexec", "nodev", "mode=700", &jobs];
        mounts.push(mount("/run/ephemeral/jobs", "tmpfs", &hidden));
        if let Some(file) = self.resolv_conf {
            mounts.push(bind(file, Path::new("/etc/resolv.conf"), &["ro"]));
        }
        mounts
    }
}

fn mount(at: &str, kind: &str, options: &[&str]) -> Value {
    json!({ "destination": at, "type": kind, "source": kind, "options": options })
}

/// Not recursive: what the host has mounted below stays the host's.
fn bind(from: &Path, at: &Path, options: &[&str]) -> Value {
    let options = [&["bind", "nosuid", "nodev"], options].concat();
    json!({ "destination": at, "type": "bind", "source": from, "options": options })
}
