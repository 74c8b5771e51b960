//! Writes the files that the launcher reads: its plan and the OCI bundle.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Inner, Runtime};
use crate::bundle::Bundle;
use crate::rootfs::Root;
use crate::runtime::{Isolation, Overlay, PLAN, Plan, STATE_DIR, Scratch, Start};
use crate::task::{Network, TaskId, TaskSpec};

/// Address of the sandbox's DNS server; pasta forwards queries to the host's resolver.
const RESOLVER: &str = "169.254.1.1";
/// Smallest size of the file system for the output of jobs; by default it is a quarter of the memory.
const MIN_JOBS_MIB: u32 = 32;

impl Inner {
    /// Creates the sandbox's directory with the plan and the bundle.
    pub(super) fn prepare(&self, id: &TaskId, spec: &TaskSpec) -> io::Result<()> {
        let dir = self.dir(id);
        let names = ["scratch", "run", "run/jobs", "run/cgroup", "cgroup", "rootfs", STATE_DIR];
        let mount_points = (0..self.cgroups.of(id).dirs().len()).map(|number| number.to_string());
        let mount_points = mount_points
            .flat_map(|number| ["run/cgroup", "cgroup"].map(|dir| format!("{dir}/{number}")));
        for name in names.map(str::to_owned).into_iter().chain(mount_points) {
            let subdir = dir.join(name);
            fs::create_dir_all(&subdir)?;
            // Otherwise jobs could connect to the runner's socket and read the output of other jobs.
            fs::set_permissions(subdir, Permissions::from_mode(0o700))?;
        }
        let start = match &self.image {
            Root::Bare { runner } => self.bare(id, runner),
            Root::Host { dir: root, shared } => {
                self.write_bundle(id, spec, root, shared)?;
                self.container(id, spec, None)
            }
            Root::Layers { lower, .. } => {
                let at = dir.join("rootfs");
                self.write_bundle(id, spec, &at, &[])?;
                self.container(id, spec, Some(Overlay { at, lower: lower.clone() }))
            }
        };
        let plan = Plan {
            id: id.to_string(),
            parent: rustix::process::getpid().as_raw_nonzero().get(),
            procs_files: self.cgroups.of(id).procs_files(),
            leaf: self.cgroups.of(id).leaf(),
            start,
        };
        fs::write(dir.join(PLAN), serde_json::to_vec(&plan)?)
    }

    fn container(&self, id: &TaskId, spec: &TaskSpec, overlay: Option<Overlay>) -> Start {
        let user = self.image.user();
        let at = self.dir(id).join("scratch");
        let owner = (user.uid, user.gid);
        let scratch = Scratch { at, size_mib: spec.tmpfs_mib, owner };
        let network_command = match spec.network {
            Network::None => None,
            Network::Egress => Some(pasta_command()),
        };
        let program = match &self.config.runtime {
            Runtime::Program(program) => Some(program.for_network(spec.network)),
            Runtime::BuiltIn | Runtime::Bare => None,
        };
        let ids = self.ids.clone();
        let cgroup_namespace = self.cgroups.is_v2();
        let cgroup_mounts =
            self.cgroups.of(id).dirs().into_iter().zip(self.cgroup_dirs(id)).collect();
        Start::Container {
            isolation: Isolation {
                cgroup_namespace,
                cgroup_mounts,
                ids,
                scratch,
                overlay,
                network_command,
            },
            program,
        }
    }

    /// Where the launcher mounts the sandbox's cgroups.
    fn cgroup_dirs(&self, id: &TaskId) -> Vec<PathBuf> {
        let count = self.cgroups.of(id).dirs().len();
        (0..count).map(|number| self.dir(id).join(format!("cgroup/{number}"))).collect()
    }

    fn bare(&self, id: &TaskId, runner: &Path) -> Start {
        let run_dir = self.dir(id).join("run");
        let mut command =
            vec![runner.into(), "--socket".into(), run_dir.join("runner.sock").into()];
        command.extend(["--jobs".into(), run_dir.join("jobs").into()]);
        for dir in self.cgroups.of(id).dirs() {
            command.extend(["--cgroup".into(), dir.into()]);
        }
        if !rustix::process::geteuid().is_root() {
            // Without root, commands can run only as the server's user.
            command.push("--keep-user".into());
        }
        Start::Bare { command }
    }

    fn write_bundle(
        &self,
        id: &TaskId,
        spec: &TaskSpec,
        root: &Path,
        shared: &[PathBuf],
    ) -> io::Result<()> {
        let dir = self.dir(id);
        let scratch = dir.join("scratch");
        let resolv_conf = dir.join("resolv.conf");
        let has_network = spec.network == Network::Egress;
        if has_network {
            fs::write(&resolv_conf, format!("nameserver {RESOLVER}\n"))?;
            fs::set_permissions(&resolv_conf, Permissions::from_mode(0o644))?;
        }
        let bundle = Bundle {
            root,
            writable: matches!(self.image, Root::Layers { .. }),
            shared,
            run_dir: &dir.join("run"),
            tmp: &scratch.join("tmp"),
            home: (&scratch.join("home"), &self.image.user().home),
            resolv_conf: has_network.then_some(resolv_conf.as_path()),
            jobs_mib: (spec.memory_mib / 4).max(MIN_JOBS_MIB),
            cgroups_path: &self.cgroups.of(id).oci_path(),
            cgroup_namespace: !self.cgroups.is_v2(),
            cgroup_dirs: &self.cgroup_dirs(id),
        };
        let config = bundle.config().map_err(io::Error::other)?;
        config.save(dir.join("config.json")).map_err(io::Error::other)
    }
}

/// The command line of pasta: maps neither the host's loopback nor any port into the sandbox. The
/// process is in the sandbox's cgroup and ends with it.
fn pasta_command() -> Vec<String> {
    let mut command = vec!["pasta", "--config-net", "--quiet", "--no-map-gw"];
    command.extend(["-t", "none", "-u", "none", "-T", "none", "-U", "none"]);
    command.extend(["--dns-forward", RESOLVER]);
    if rustix::process::geteuid().is_root() {
        // As another user pasta could not enter the namespaces. It drops its capabilities itself.
        command.extend(["--runas", "0"]);
    } else {
        command.extend(["--userns", "/proc/self/fd/4"]);
    }
    command.extend(["--netns", "/proc/self/fd/3"]);
    command.into_iter().map(str::to_owned).collect()
}
