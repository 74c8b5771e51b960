//! Writes the files that the launcher reads: its plan and the OCI bundle.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::{Inner, Runtime};
use crate::bundle::Bundle;
use crate::record::replace;
use crate::rootfs::Parts;
use crate::runtime::{
    Home, Isolation, Overlay, PLAN, Plan, STATE_DIR, Scratch, Start, USERS, bundle_dir,
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
        let names =
            ["", "scratch", "run", "run/jobs", "run/cgroup", "cgroup", "rootfs", "programs"];
        let names = names.into_iter().chain([STATE_DIR]).map(str::to_owned);
        let mount_points = (0..self.cgroups.of(id).dirs().len()).map(|number| number.to_string());
        let mount_points = mount_points
            .flat_map(|number| ["run/cgroup", "cgroup"].map(|dir| format!("{dir}/{number}")));
        let views = (0..self.cgroups.of(id).views().len()).map(cgroup_view);
        fs::create_dir_all(&dir)?;
        let parts = self.image.parts(&dir)?;
        let programs = parts.as_ref().map_or(0, |parts| parts.programs.len());
        let programs = (0..programs).map(|number| format!("programs/{number}"));
        for name in names.chain(mount_points).chain(views).chain(programs) {
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
        let start = match parts {
            Some(parts) => self.container(id, spec, &parts)?,
            None => self.bare(id, self.image.runner()),
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

    fn container(&self, id: &TaskId, spec: &TaskSpec, parts: &Parts) -> io::Result<Start> {
        self.write_bundle(id, spec, parts)?;
        let (dir, block) = (self.dir(id), self.block(id));
        let host_id = |id| block.map_or(id, |block| block.host_id(id));
        let user = &parts.settings.user;
        let network_command = match spec.network {
            Network::None => None,
            Network::Egress => Some(pasta_command(block)),
        };
        let program = match &self.config.runtime {
            Runtime::Program(program) => Some(program.clone()),
            Runtime::BuiltIn | Runtime::Bare => None,
        };
        let programs = (parts.programs.iter().enumerate()).map(|(number, (source, layer))| {
            let at = dir.join(format!("programs/{number}"));
            Overlay { at, lower: vec![layer.clone(), source.clone()] }
        });
        let views = self.cgroups.of(id).views().into_iter().enumerate();
        let views = views.map(|(number, (_, source))| (source, dir.join(cgroup_view(number))));
        let cgroup_mounts =
            self.cgroups.of(id).dirs().into_iter().zip(self.cgroup_dirs(&dir, id)).chain(views);
        let isolation = Isolation {
            cgroup_namespace: self.cgroups.is_v2(),
            cgroup_mounts: cgroup_mounts.collect(),
            ids: self.ids.clone(),
            block,
            scratch: Scratch {
                at: dir.join("scratch"),
                size_mib: spec.tmpfs_mib,
                root: (host_id(0), host_id(0)),
            },
            root: Overlay { at: dir.join("rootfs"), lower: parts.layers.clone() },
            home: Home { path: user.home.clone(), uid: host_id(user.uid), gid: host_id(user.gid) },
            programs: programs.collect(),
            network_command,
        };
        Ok(Start::Container { isolation: Box::new(isolation), program })
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

    fn write_bundle(&self, id: &TaskId, spec: &TaskSpec, parts: &Parts) -> io::Result<()> {
        let (own, block) = (self.dir(id), self.block(id));
        // The paths as the OCI runtime sees them.
        let dir = bundle_dir(&own, block);
        let resolv_conf = dir.join("resolv.conf");
        let has_network = spec.network == Network::Egress;
        if has_network {
            let file = own.join("resolv.conf");
            fs::write(&file, format!("nameserver {RESOLVER}\n"))?;
            fs::set_permissions(file, Permissions::from_mode(0o644))?;
        }
        let programs = parts.programs.iter().enumerate();
        let programs: Vec<(PathBuf, PathBuf)> = programs
            .map(|(number, (path, _))| (dir.join(format!("programs/{number}")), path.clone()))
            .collect();
        let views = self.cgroups.of(id).views().into_iter().enumerate();
        let views: Vec<(PathBuf, PathBuf)> = views
            .map(|(number, (name, _))| {
                (dir.join(cgroup_view(number)), Path::new("/sys/fs/cgroup").join(name))
            })
            .collect();
        let users = block.map(|_| dir.join(USERS));
        let bundle = Bundle {
            root: &dir.join("rootfs"),
            programs: &programs,
            env: &parts.settings.env,
            workdir: &parts.settings.workdir,
            users: users.as_deref(),
            allow_root: self.config.allow_root,
            run_dir: &dir.join("run"),
            resolv_conf: has_network.then_some(resolv_conf.as_path()),
            jobs_mib: (spec.memory_mib / 4).max(MIN_JOBS_MIB),
            cgroups_path: &self.cgroups.of(id).oci_path(),
            cgroup_namespace: !self.cgroups.is_v2(),
            cgroup_dirs: &self.cgroup_dirs(&dir, id),
            cgroup_views: &views,
        };
        let config = bundle.config().map_err(io::Error::other)?;
        let file = own.join("config.json");
        config.save(&file).map_err(io::Error::other)?;
        // The OCI runtime is not the server's user.
        fs::set_permissions(file, Permissions::from_mode(0o644))
    }
}

/// The mount point, in the sandbox's directory, of a view of its cgroups, by which programs find their
/// limits.
fn cgroup_view(number: usize) -> String {
    format!("cgroup/view-{number}")
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
