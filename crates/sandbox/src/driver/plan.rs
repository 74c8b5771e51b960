//! Writes the files that the launcher reads: its plan and the OCI bundle.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::{Inner, Runtime};
use crate::bundle::Bundle;
use crate::record::replace;
use crate::rootfs::Root;
use crate::runtime::{
    Isolation, Overlay, PLAN, Plan, STATE_DIR, Scratch, Start, USERS, bundle_dir,
};
use crate::task::{Network, TaskId, TaskSpec};
use crate::uid_range::Block;

/// Address of the sandbox's DNS server; pasta forwards queries to the host's resolver.
const RESOLVER: &str = "169.254.1.1";
/// Smallest size of the file system for the output of jobs; by default it is a quarter of the memory.
const MIN_JOBS_MIB: u32 = 32;

impl Inner {
    /// Creates the sandbox's directory with the plan and the bundle.
    pub(super) fn prepare(&self, id: &TaskId, spec: &TaskSpec) -> io::Result<()> {
        let dir = self.dir(id);
        let names = [
            "",
            "scratch",
            "run",
            "run/jobs",
            "run/cgroup",
            "cgroup",
            "rootfs",
            "shared",
            STATE_DIR,
        ];
        let mount_points = (0..self.cgroups.of(id).dirs().len()).map(|number| number.to_string());
        let mount_points = mount_points
            .flat_map(|number| ["run/cgroup", "cgroup"].map(|dir| format!("{dir}/{number}")));
        for name in names.map(str::to_owned).into_iter().chain(mount_points) {
            let subdir = dir.join(name);
            fs::create_dir_all(&subdir)?;
            // Otherwise jobs could connect to the runner's socket and read the output of other jobs.
            fs::set_permissions(&subdir, Permissions::from_mode(0o700))?;
            if let Some(block) = self.block(id) {
                // For the OCI runtime and PID 1, which are root only for the ids of the block.
                chown(subdir, Some(block.runner()), Some(block.runner()))?;
            }
        }
        fs::write(dir.join(USERS), "")?;
        let start = match &self.image {
            Root::Bare { runner } => self.bare(id, runner),
            Root::Host { dir: root, shared } => {
                self.write_bundle(id, spec, root, shared)?;
                self.container(id, spec, None)?
            }
            Root::Layers { lower, .. } => {
                let at = dir.join("rootfs");
                self.write_bundle(id, spec, &at, &[])?;
                let overlay = Overlay { at, lower: lower.clone() };
                self.container(id, spec, Some(overlay))?
            }
        };
        let plan = Plan {
            id: id.to_string(),
            parent: rustix::process::getpid().as_raw_nonzero().get(),
            procs_files: self.cgroups.of(id).procs_files(),
            leaf: self.cgroups.of(id).leaf(),
            pids: spec.pids,
            start,
        };
        replace(&dir.join(PLAN), &serde_json::to_vec(&plan)?)
    }

    /// Where the launcher mounts the host's directories, if the sandbox has ids of its own.
    fn shared(&self, id: &TaskId, shared: &[PathBuf]) -> io::Result<Vec<(PathBuf, PathBuf)>> {
        let mut mounts = Vec::new();
        if self.block(id).is_none() {
            return Ok(mounts);
        }
        let dir = self.dir(id);
        for (number, source) in shared.iter().enumerate() {
            let target = dir.join(format!("shared/{number}"));
            fs::create_dir(&target)?;
            mounts.push((source.clone(), target));
        }
        Ok(mounts)
    }

    fn container(
        &self,
        id: &TaskId,
        spec: &TaskSpec,
        overlay: Option<Overlay>,
    ) -> io::Result<Start> {
        let user = self.image.user();
        let at = self.dir(id).join("scratch");
        let block = self.block(id);
        let host_id = |id| block.map_or(id, |block| block.host_id(id));
        let owner = (host_id(user.uid), host_id(user.gid));
        let (root, shared) = match &self.image {
            Root::Host { dir, shared } => {
                let root = block.map(|_| (dir.clone(), self.dir(id).join("rootfs")));
                (root, self.shared(id, shared)?)
            }
            Root::Layers { .. } | Root::Bare { .. } => (None, Vec::new()),
        };
        let scratch =
            Scratch { at, size_mib: spec.tmpfs_mib, root: (host_id(0), host_id(0)), owner };
        let network_command = match spec.network {
            Network::None => None,
            Network::Egress => Some(pasta_command(block)),
        };
        let program = match &self.config.runtime {
            Runtime::Program(program) => Some(program.clone()),
            Runtime::BuiltIn | Runtime::Bare => None,
        };
        let ids = self.ids.clone();
        let cgroup_namespace = self.cgroups.is_v2();
        let cgroup_mounts = self
            .cgroups
            .of(id)
            .dirs()
            .into_iter()
            .zip(self.cgroup_dirs(&self.dir(id), id))
            .collect();
        Ok(Start::Container {
            isolation: Box::new(Isolation {
                cgroup_namespace,
                cgroup_mounts,
                ids,
                block,
                root,
                shared,
                scratch,
                overlay,
                network_command,
            }),
            program,
        })
    }

    /// Where in `dir` the launcher mounts the sandbox's cgroups.
    fn cgroup_dirs(&self, dir: &Path, id: &TaskId) -> Vec<PathBuf> {
        let count = self.cgroups.of(id).dirs().len();
        (0..count).map(|number| dir.join(format!("cgroup/{number}"))).collect()
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
        let (own, block) = (self.dir(id), self.block(id));
        // The paths as the OCI runtime sees them.
        let dir = bundle_dir(&own, block);
        let scratch = dir.join("scratch");
        let resolv_conf = dir.join("resolv.conf");
        let has_network = spec.network == Network::Egress;
        if has_network {
            let file = own.join("resolv.conf");
            fs::write(&file, format!("nameserver {RESOLVER}\n"))?;
            fs::set_permissions(file, Permissions::from_mode(0o644))?;
        }
        let mounted = |number: usize| block.map(|_| dir.join(format!("shared/{number}")));
        let shared = shared.iter().enumerate();
        let shared = shared.map(|(n, at)| (mounted(n).unwrap_or_else(|| at.clone()), at.clone()));
        let users = block.map(|_| dir.join(USERS));
        // As root of a user namespace only, runc fails to make a cgroup with a given path.
        let is_root = block.is_none() || self.config.runtime == Runtime::BuiltIn;
        let cgroups_path = is_root.then(|| self.cgroups.of(id).oci_path());
        let bundle = Bundle {
            root: if block.is_some() { &dir.join("rootfs") } else { root },
            writable: matches!(self.image, Root::Layers { .. }),
            shared: &shared.collect::<Vec<_>>(),
            users: users.as_deref(),
            allow_root: self.config.allow_root,
            run_dir: &dir.join("run"),
            tmp: &scratch.join("tmp"),
            home: (&scratch.join("home"), &self.image.user().home),
            resolv_conf: has_network.then_some(resolv_conf.as_path()),
            jobs_mib: (spec.memory_mib / 4).max(MIN_JOBS_MIB),
            cgroups_path: cgroups_path.as_deref(),
            cgroup_namespace: !self.cgroups.is_v2(),
            cgroup_dirs: &self.cgroup_dirs(&dir, id),
        };
        let config = bundle.config().map_err(io::Error::other)?;
        let file = own.join("config.json");
        config.save(&file).map_err(io::Error::other)?;
        // The OCI runtime is not the server's user.
        fs::set_permissions(file, Permissions::from_mode(0o644))
    }
}

/// The command line of pasta: maps neither the host's loopback nor any port into the sandbox. The
/// process is in the sandbox's cgroup and ends with it.
fn pasta_command(block: Option<Block>) -> Vec<String> {
    let mut command = vec!["pasta", "--config-net", "--quiet", "--no-map-gw"];
    command.extend(["-t", "none", "-u", "none", "-T", "none", "-U", "none"]);
    command.extend(["--dns-forward", RESOLVER]);
    command.extend(["--userns", "/proc/self/fd/4", "--netns", "/proc/self/fd/3"]);
    let mut command: Vec<String> = command.into_iter().map(str::to_owned).collect();
    if let Some(block) = block {
        // The user that owns the namespaces and, as PID 1, nothing else on the host.
        command.extend(["--runas".to_owned(), format!("{0}:{0}", block.runner())]);
    }
    command
}
