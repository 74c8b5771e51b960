//! The launcher, a program that creates one container and exits: `EXE runtime launch DIRECTORY`.
//!
//! The launcher is a separate process because creating a container means forking, which is safe only
//! with a single thread. It makes all mounts of the sandbox in a new mount namespace, so that the kernel
//! removes them with the sandbox's last process. The container itself is created by `libcontainer`, or
//! by another OCI runtime (`runc`, `crun`, ...) in the same namespaces.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use crate::driver::Program;
use crate::rootless::IdMap;

mod container;
mod namespaces;
mod netlink;
mod probe;

type AnyError = Box<dyn Error + Send + Sync>;

/// The launcher's input, read from its directory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) id: String,
    /// Pid of the driver; the launcher ends with it.
    pub(crate) parent: i32,
    /// Files into which the launcher writes `0` to enter the sandbox's cgroups.
    pub(crate) procs_files: Vec<PathBuf>,
    /// On cgroup v2, the child of the sandbox's cgroup that all processes of the launch move to once the
    /// cgroup namespace exists, because a group with processes can't have children with controllers.
    pub(crate) leaf: Option<PathBuf>,
    pub(crate) start: Start,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    /// A container of the bundle in the same directory, created by the OCI runtime `program` or, if that
    /// is `None`, by libcontainer.
    Container { isolation: Isolation, program: Option<Program> },
    /// A runner on the host, without a container.
    Bare { command: Vec<OsString> },
}

/// What the launcher prepares before the container is created.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Isolation {
    /// Whether the launcher creates the cgroup namespace instead of the OCI runtime. On cgroup v2 its root
    /// must be the sandbox's group, which the container's process has left.
    pub(crate) cgroup_namespace: bool,
    /// Bind mounts of the sandbox's cgroups: source and destination.
    pub(crate) cgroup_mounts: Vec<(PathBuf, PathBuf)>,
    /// The mapping of a new user namespace, if the server isn't root.
    pub(crate) ids: Option<IdMap>,
    pub(crate) scratch: Scratch,
    pub(crate) overlay: Option<Overlay>,
    /// A command that connects the network namespace. It runs in the host's namespaces.
    pub(crate) network_command: Option<Vec<String>>,
}

/// A tmpfs that contains `/tmp`, the home directory, and the upper directory of an overlay.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Scratch {
    pub(crate) at: PathBuf,
    pub(crate) size_mib: u32,
    /// Uid and gid of the home directory.
    pub(crate) owner: (u32, u32),
}

/// An overlay mount: the sandbox's own root above read-only layers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Overlay {
    pub(crate) at: PathBuf,
    /// Read-only layers, the topmost first.
    pub(crate) lower: Vec<PathBuf>,
}

/// Names of files in a sandbox's directory that the driver and its launcher share.
pub(crate) const PLAN: &str = "plan.json";
pub(crate) const PID_FILE: &str = "pid";
pub(crate) const STATE_DIR: &str = "oci";

/// The subcommand `runtime` of the binary [`Config::exe`](crate::Config::exe); `args` follow that word.
/// Prints errors to stderr, which the driver reads.
pub fn runtime_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let done = match args.as_slice() {
        [verb, dir] if verb == "launch" => launch(Path::new(dir)),
        [verb, what, dir] if verb == "probe" => probe::run(what, Path::new(dir)),
        _ => Err("usage: runtime launch DIRECTORY".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr can't be written, the exit code still reports the failure.
            let _ = writeln!(io::stderr(), "{}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn launch(dir: &Path) -> Result<(), AnyError> {
    let plan: Plan = serde_json::from_slice(&fs::read(dir.join(PLAN))?)?;
    die_with_parent(plan.parent)?;
    namespaces::enter_cgroups(&plan.procs_files)?;
    match &plan.start {
        Start::Bare { command } => {
            namespaces::enter_leaf(plan.leaf.as_deref())?;
            bare(command, dir)
        }
        Start::Container { isolation, program } => {
            namespaces::enter(isolation, plan.leaf.as_deref())?;
            namespaces::enter_leaf(plan.leaf.as_deref())?;
            match program {
                None => {
                    namespaces::mask_cgroups()?;
                    container::run(&plan.id, dir)
                }
                Some(program) => Err(exec_runtime(program, &plan.id, dir)),
            }
        }
    }
}

/// Executes another OCI runtime in this process. Returns only if that fails.
fn exec_runtime(program: &Program, id: &str, dir: &Path) -> AnyError {
    let mut command = Command::new(&program.path);
    command
        .args(&program.args)
        .arg("--root")
        .arg(dir.join(STATE_DIR))
        .args(["run", "--detach", "--bundle"]);
    command.arg(dir).arg("--pid-file").arg(dir.join(PID_FILE)).arg(id);
    format!("failed to execute {}: {}", program.path.display(), command.exec()).into()
}

/// Starts a runner on the host. It inherits the launcher's cgroups, which limit it.
fn bare(command: &[OsString], dir: &Path) -> Result<(), AnyError> {
    let (program, args) = command.split_first().ok_or("the plan has no command")?;
    let child = Command::new(program).args(args).current_dir("/").process_group(0).spawn()?;
    Ok(fs::write(dir.join(PID_FILE), child.id().to_string())?)
}

/// Makes the kernel kill the launcher when the driver ends. A launcher that outlives its driver could
/// create a sandbox after the next driver has removed it.
fn die_with_parent(parent: i32) -> Result<(), AnyError> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        return Err("the server that started this launcher has ended".into());
    }
    Ok(())
}

/// The messages of an error and its causes in one line.
fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries include the message of the cause in their own.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
