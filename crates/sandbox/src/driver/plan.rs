//! Writes the files that the launcher reads: its plan and the OCI bundle.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{Inner, Runtime, network};
use crate::bundle::{Bundle, OWNER};
use crate::disk;
use crate::record::replace;
use crate::rootfs::Parts;
use crate::runtime::{
    Home, Isolation, Overlay, PLAN, Plan, STATE_DIR, Scratch, Start, USERS, bundle_dir,
};
use crate::task::{Network, TaskId, TaskSpec};
use crate::uid_range::Block;

/// Smallest size of the file system for the output of jobs; by default it is a quarter of the memory.
const MIN_JOBS_MIB: u32 = 32;

/// A sandbox that is to be created.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewSandbox<'a> {
    /// The name of its directory and of its cgroups: the id of its task, unless it has none yet.
    pub(super) name: &'a TaskId,
    pub(super) spec: &'a TaskSpec,
    /// Its ids, if the server is root.
    pub(super) block: Option<Block>,
    /// How long its runner runs at most.
    pub(super) time_left: Option<Duration>,
    /// Whether its PID 1 waits for a task before it executes the runner.
    pub(super) waits: bool,
}

impl Inner {
    /// Creates the sandbox's directory with the plan and the bundle.
    pub(super) fn write_files(&self, new: &NewSandbox<'_>) -> io::Result<()> {
        let (dir, cgroup) = (self.dir(new.name), self.cgroups.of(new.name));
        let names =
            ["", "scratch", "run", "run/jobs", "run/cgroup", "cgroup", "rootfs", "programs"];
        let names = names.into_iter().chain([STATE_DIR]).map(str::to_owned);
        let mount_points = (0..cgroup.dirs().len()).map(|number| number.to_string());
        let mount_points = mount_points
            .flat_map(|number| ["run/cgroup", "cgroup"].map(|dir| format!("{dir}/{number}")));
        let views = (0..cgroup.views().len()).map(cgroup_view);
        fs::create_dir_all(&dir)?;
        let parts = self.image.parts(&dir)?;
        let programs = parts.as_ref().map_or(0, |parts| parts.programs.len());
        let programs = (0..programs).map(|number| format!("programs/{number}"));
        for name in names.chain(mount_points).chain(views).chain(programs) {
            let subdir = dir.join(name);
            fs::create_dir_all(&subdir)?;
            // Otherwise jobs could connect to the runner's socket and read the output of other jobs.
            fs::set_permissions(&subdir, Permissions::from_mode(0o700))?;
            if let Some(block) = new.block {
                // For the OCI runtime and PID 1, which are root only for the ids of the block.
                chown(subdir, Some(block.runner()), Some(block.runner()))?;
            }
        }
        if self.config.end_with_driver {
            let pipe = owner_pipe(&dir.join("run").join(OWNER))?;
            self.owned.lock().insert(new.name.clone(), pipe);
        }
        if let Some(disks) = self.disks() {
            disks.create(&dir.join(disk::FILE), new.spec.disk_mib)?;
        }
        fs::write(dir.join(USERS), "")?;
        let start = match parts {
            Some(parts) => self.container(new, &parts)?,
            None => self.bare(new, self.image.runner()),
        };
        let plan = Plan {
            id: new.name.to_string(),
            parent: rustix::process::getpid().as_raw_nonzero().get(),
            procs_files: cgroup.procs_files(),
            leaf: cgroup.leaf(),
            pids: new.spec.pids,
            start,
        };
        replace(&dir.join(PLAN), &serde_json::to_vec(&plan)?)
    }

    fn container(&self, new: &NewSandbox<'_>, parts: &Parts) -> io::Result<Start> {
        self.write_bundle(new, parts)?;
        let NewSandbox { spec, block, .. } = *new;
        let (dir, cgroup) = (self.dir(new.name), self.cgroups.of(new.name));
        let host_id = |id| block.map_or(id, |block| block.host_id(id));
        let user = &parts.settings.user;
        let resolvers = network::resolvers();
        let network_command = match spec.network {
            Network::None => None,
            Network::Egress => Some(self.pasta_command(&resolvers, block)),
        };
        let program = match &self.config.runtime {
            Runtime::Program(program) => Some(program.for_network(spec.network)),
            Runtime::BuiltIn | Runtime::Bare => None,
        };
        let programs = (parts.programs.iter().enumerate()).map(|(number, (source, layer))| {
            let at = dir.join(format!("programs/{number}"));
            Overlay { at, lower: vec![layer.clone(), source.clone()] }
        });
        let views = cgroup.views().into_iter().enumerate();
        let views = views.map(|(number, (_, source))| (source, dir.join(cgroup_view(number))));
        let dirs = cgroup.dirs();
        let cgroup_mounts = cgroup_dirs(&dir, dirs.len());
        let cgroup_mounts = dirs.into_iter().zip(cgroup_mounts).chain(views);
        let isolation = Isolation {
            cgroup_namespace: self.cgroups.is_v2(),
            cgroup_mounts: cgroup_mounts.collect(),
            ids: self.ids.clone(),
            block,
            scratch: Scratch {
                at: dir.join("scratch"),
                image: self.disks().map(|_| dir.join(disk::FILE)),
                // Files on a tmpfs count against the memory limit: with more, a full one would kill
                // commands.
                size_mib: spec.disk_mib.min(spec.memory_mib / 2),
                root: (host_id(0), host_id(0)),
            },
            root: Overlay { at: dir.join("rootfs"), lower: parts.layers.clone() },
            home: Home { path: user.home.clone(), uid: host_id(user.uid), gid: host_id(user.gid) },
            programs: programs.collect(),
            network_command,
            egress: self.config.egress,
            resolvers,
        };
        Ok(Start::Container { isolation: Box::new(isolation), program, waits: new.waits })
    }

    fn bare(&self, new: &NewSandbox<'_>, runner: &Path) -> Start {
        let run_dir = self.dir(new.name).join("run");
        let mut command =
            vec![runner.into(), "--socket".into(), run_dir.join("runner.sock").into()];
        command.extend(["--jobs".into(), run_dir.join("jobs").into()]);
        for dir in self.cgroups.of(new.name).dirs() {
            command.extend(["--cgroup".into(), dir.into()]);
        }
        if let Some(left) = new.time_left {
            command.extend(["--lifetime-ms".into(), left.as_millis().to_string().into()]);
        }
        if self.config.end_with_driver {
            command.extend(["--owner".into(), run_dir.join(OWNER).into()]);
        }
        if !rustix::process::geteuid().is_root() {
            // Without root, commands can run only as the server's user.
            command.push("--keep-user".into());
        }
        Start::Bare { command }
    }

    fn write_bundle(&self, new: &NewSandbox<'_>, parts: &Parts) -> io::Result<()> {
        let NewSandbox { spec, block, .. } = *new;
        let (own, cgroup) = (self.dir(new.name), self.cgroups.of(new.name));
        // The paths as the OCI runtime sees them.
        let dir = bundle_dir(&own, block);
        let resolv_conf = dir.join("resolv.conf");
        let has_network = spec.network == Network::Egress;
        if has_network {
            let file = own.join("resolv.conf");
            fs::write(&file, network::resolv_conf(&network::resolvers()))?;
            fs::set_permissions(file, Permissions::from_mode(0o644))?;
        }
        let programs = parts.programs.iter().enumerate();
        let programs: Vec<(PathBuf, PathBuf)> = programs
            .map(|(number, (path, _))| (dir.join(format!("programs/{number}")), path.clone()))
            .collect();
        let views = cgroup.views().into_iter().enumerate();
        let views: Vec<(PathBuf, PathBuf)> = views
            .map(|(number, (name, _))| {
                (dir.join(cgroup_view(number)), Path::new("/sys/fs/cgroup").join(name))
            })
            .collect();
        let users = block.map(|_| dir.join(USERS));
        // As root of a user namespace only, runc fails to make a cgroup with a given path.
        let is_root = block.is_none() || self.config.runtime == Runtime::BuiltIn;
        let cgroups_path = is_root.then(|| cgroup.oci_path());
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
            shm_mib: spec.memory_mib / 2,
            cgroups_path: cgroups_path.as_deref(),
            cgroup_namespace: !self.cgroups.is_v2(),
            cgroup_dirs: &cgroup_dirs(&dir, cgroup.dirs().len()),
            cgroup_views: &views,
            time_left: new.time_left,
            owned: self.config.end_with_driver,
        };
        let config = bundle.config().map_err(io::Error::other)?;
        let file = own.join("config.json");
        config.save(&file).map_err(io::Error::other)?;
        // The OCI runtime is not the server's user.
        fs::set_permissions(file, Permissions::from_mode(0o644))
    }
}

/// Where in `dir` the launcher mounts the sandbox's cgroups.
fn cgroup_dirs(dir: &Path, count: usize) -> Vec<PathBuf> {
    (0..count).map(|number| dir.join(format!("cgroup/{number}"))).collect()
}

/// The mount point, in the sandbox's directory, of a view of its cgroups, by which programs find their
/// limits.
fn cgroup_view(number: usize) -> String {
    format!("cgroup/view-{number}")
}

/// Creates a named pipe and opens it for writing. Its readers see the end of this process.
fn owner_pipe(path: &Path) -> io::Result<File> {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    // The runner may have another uid. Nobody else can enter the directory.
    fs::set_permissions(path, Permissions::from_mode(0o644))?;
    // With the read end too, opening does not wait for a reader.
    OpenOptions::new().read(true).write(true).open(path)
}
