//! Writes the files that the launcher reads: its plan and the OCI bundle.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Inner, Runtime};
use crate::bundle::Bundle;
use crate::rootfs::Parts;
use crate::runtime::{Home, Isolation, Overlay, PLAN, Plan, STATE_DIR, Scratch, Start};
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
        let start = match self.image.parts(&dir)? {
            Some(parts) => self.container(id, spec, &parts)?,
            None => self.bare(id, self.image.runner()),
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

    fn container(&self, id: &TaskId, spec: &TaskSpec, parts: &Parts) -> io::Result<Start> {
        let dir = self.dir(id);
        let programs: Vec<(Overlay, PathBuf)> = (parts.programs.iter().enumerate())
            .map(|(number, (source, layer))| {
                let at = dir.join(format!("programs/{number}"));
                let lower = vec![layer.clone(), source.clone()];
                (Overlay { at, lower }, source.clone())
            })
            .collect();
        programs.iter().try_for_each(|(overlay, _)| fs::create_dir_all(&overlay.at))?;
        let views = self.cgroup_views(id);
        views.iter().try_for_each(|(_, at, _)| fs::create_dir_all(at))?;
        let views = views.into_iter().map(|(source, at, _)| (source, at));
        let mounts: Vec<(PathBuf, PathBuf)> =
            programs.iter().map(|(overlay, path)| (overlay.at.clone(), path.clone())).collect();
        self.write_bundle(id, spec, parts, &mounts)?;
        let user = &parts.settings.user;
        let network_command = match spec.network {
            Network::None => None,
            Network::Egress => Some(pasta_command()),
        };
        let program = match &self.config.runtime {
            Runtime::Program(program) => Some(program.clone()),
            Runtime::BuiltIn | Runtime::Bare => None,
        };
        let isolation = Isolation {
            cgroup_namespace: self.cgroups.is_v2(),
            cgroup_mounts: (self.cgroups.of(id).dirs().into_iter())
                .zip(self.cgroup_dirs(id))
                .chain(views)
                .collect(),
            ids: self.ids.clone(),
            scratch: Scratch { at: dir.join("scratch"), size_mib: spec.tmpfs_mib },
            root: Overlay { at: dir.join("rootfs"), lower: parts.layers.clone() },
            home: Home { path: user.home.clone(), uid: user.uid, gid: user.gid },
            programs: programs.into_iter().map(|(overlay, _)| overlay).collect(),
            network_command,
        };
        Ok(Start::Container { isolation: Box::new(isolation), program })
    }

    /// Where the launcher mounts the sandbox's cgroups.
    fn cgroup_dirs(&self, id: &TaskId) -> Vec<PathBuf> {
        let count = self.cgroups.of(id).dirs().len();
        (0..count).map(|number| self.dir(id).join(format!("cgroup/{number}"))).collect()
    }

    /// Where the launcher mounts the views of the sandbox's cgroups: source, mount point, and the path
    /// inside, by which programs find their limits.
    fn cgroup_views(&self, id: &TaskId) -> Vec<(PathBuf, PathBuf, PathBuf)> {
        let views = self.cgroups.of(id).views().into_iter().enumerate();
        let view = |(number, (name, source)): (usize, (&str, PathBuf))| {
            let at = self.dir(id).join(format!("cgroup/view-{number}"));
            let top = PathBuf::from("/sys/fs/cgroup");
            (source, at, if name.is_empty() { top } else { top.join(name) })
        };
        views.map(view).collect()
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
        parts: &Parts,
        programs: &[(PathBuf, PathBuf)],
    ) -> io::Result<()> {
        let dir = self.dir(id);
        let resolv_conf = dir.join("resolv.conf");
        let has_network = spec.network == Network::Egress;
        if has_network {
            fs::write(&resolv_conf, format!("nameserver {RESOLVER}\n"))?;
            fs::set_permissions(&resolv_conf, Permissions::from_mode(0o644))?;
        }
        let views: Vec<(PathBuf, PathBuf)> =
            self.cgroup_views(id).into_iter().map(|(_, at, inside)| (at, inside)).collect();
        let bundle = Bundle {
            root: &dir.join("rootfs"),
            programs,
            env: &parts.settings.env,
            workdir: &parts.settings.workdir,
            run_dir: &dir.join("run"),
            resolv_conf: has_network.then_some(resolv_conf.as_path()),
            jobs_mib: (spec.memory_mib / 4).max(MIN_JOBS_MIB),
            cgroups_path: &self.cgroups.of(id).oci_path(),
            cgroup_namespace: !self.cgroups.is_v2(),
            cgroup_dirs: &self.cgroup_dirs(id),
            cgroup_views: &views,
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
