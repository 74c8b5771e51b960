//! What is written down for the launcher.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Inner, Runtime};
use crate::bundle::Bundle;
use crate::rootfs::Root;
use crate::runtime::{Overlay, PLAN, Place, Plan, STATE_DIR, Scratch, Start};
use crate::task::{Network, TaskId, TaskSpec};

/// Where a sandbox finds its resolver; pasta hands on what is sent there.
const RESOLVER: &str = "169.254.1.1";
/// Of the memory, for the output of jobs until it is stored elsewhere: a quarter, or this.
const LEAST_OUTPUT_MIB: u32 = 32;

impl Inner {
    /// Writes the bundle, and what the launcher must know.
    pub(super) fn prepare(&self, id: &TaskId, spec: &TaskSpec) -> io::Result<()> {
        let dir = self.dir(id);
        for needed in ["scratch", "run", "run/jobs", "rootfs", STATE_DIR] {
            let needed = dir.join(needed);
            fs::create_dir_all(&needed)?;
            // Jobs could connect to the runner's socket otherwise, and read each other's output.
            fs::set_permissions(needed, Permissions::from_mode(0o700))?;
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
            entrances: self.cgroups.of(id).entrances(),
            start,
        };
        fs::write(dir.join(PLAN), serde_json::to_vec(&plan)?)
    }

    fn container(&self, id: &TaskId, spec: &TaskSpec, overlay: Option<Overlay>) -> Start {
        let resident = self.image.resident();
        let at = self.dir(id).join("scratch");
        let owner = (resident.uid, resident.gid);
        let scratch = Scratch { at, size_mib: spec.tmpfs_mib, owner };
        let connector = match spec.network {
            Network::None => None,
            Network::Egress => Some(connector()),
        };
        let program = match &self.config.runtime {
            Runtime::Program(program) => Some(program.clone()),
            Runtime::BuiltIn | Runtime::Bare => None,
        };
        let ids = self.ids.clone();
        Start::Container { place: Place { ids, scratch, overlay, connector }, program }
    }

    fn bare(&self, id: &TaskId, runner: &Path) -> Start {
        let run_dir = self.dir(id).join("run");
        let mut command =
            vec![runner.into(), "--socket".into(), run_dir.join("runner.sock").into()];
        command.extend(["--jobs".into(), run_dir.join("jobs").into()]);
        if !rustix::process::geteuid().is_root() {
            // There is no other user to become.
            command.push("--keep-user".into());
        }
        Start::Bare { command }
    }

    fn write_bundle(
        &self,
        id: &TaskId,
        spec: &TaskSpec,
        root: &Path,
        shared: &[std::path::PathBuf],
    ) -> io::Result<()> {
        let dir = self.dir(id);
        let scratch = dir.join("scratch");
        let resolv_conf = dir.join("resolv.conf");
        let resolves = spec.network == Network::Egress;
        if resolves {
            fs::write(&resolv_conf, format!("nameserver {RESOLVER}\n"))?;
            fs::set_permissions(&resolv_conf, Permissions::from_mode(0o644))?;
        }
        let bundle = Bundle {
            root,
            writable: matches!(self.image, Root::Layers { .. }),
            shared,
            run_dir: &dir.join("run"),
            tmp: &scratch.join("tmp"),
            home: (&scratch.join("home"), &self.image.resident().home),
            resolv_conf: resolves.then_some(resolv_conf.as_path()),
            jobs_mib: (spec.memory_mib / 4).max(LEAST_OUTPUT_MIB),
            cgroups_path: &self.cgroups.of(id).oci_path(),
        };
        fs::write(dir.join("config.json"), bundle.config().to_string())
    }
}

/// pasta, with neither the host's loopback nor any of its ports. It ends with the control group.
fn connector() -> Vec<String> {
    let mut command = vec!["pasta", "--config-net", "--quiet", "--no-map-gw"];
    command.extend(["-t", "none", "-u", "none", "-T", "none", "-U", "none"]);
    command.extend(["--dns-forward", RESOLVER]);
    if rustix::process::geteuid().is_root() {
        // As another user it could not enter the namespace; it gives its capabilities away.
        command.extend(["--runas", "0"]);
    } else {
        command.extend(["--userns", "/proc/self/fd/4"]);
    }
    command.extend(["--netns", "/proc/self/fd/3"]);
    command.into_iter().map(str::to_owned).collect()
}
