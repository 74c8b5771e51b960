//! The launcher, a program that creates one container and exits: `EXE runtime launch DIRECTORY`.
//!
//! The launcher is a separate process because creating a container means forking, which is safe only
//! with a single thread. It makes all mounts of the sandbox in a new mount namespace, so that the kernel
//! removes them with the sandbox's last process. The container itself is created by `libcontainer`, or
//! by another OCI runtime (`runc`, `crun`, ...) in the same namespaces.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use crate::driver::{Egress, Program};
use crate::rootless::IdMap;
use crate::uid_range::{self, Block};

mod attributes;
mod container;
mod devices;
mod egress;
mod idmapped;
mod loop_device;
mod namespaces;
mod netlink;
mod probe;
mod root;
mod sysctl;
mod users;
mod waiting;

pub(crate) use waiting::Assignment;

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
    /// Largest number of processes of the sandbox, which some limits of single processes follow.
    pub(crate) pids: u32,
    pub(crate) start: Start,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    /// A container of the bundle in the same directory, created by the OCI runtime `program` or, if that
    /// is `None`, by libcontainer. If it `waits`, its PID 1 executes the runner only when a task is told.
    Container { isolation: Box<Isolation>, program: Option<Program>, waits: bool },
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
    /// The ids of new user namespaces, if the server is root.
    pub(crate) block: Option<Block>,
    pub(crate) scratch: Scratch,
    pub(crate) root: Overlay,
    pub(crate) home: Home,
    /// Read-only overlays of the host's programs. With a block their files are nobody's inside, so that also
    /// root there can read only those that everybody may read.
    pub(crate) programs: Vec<Overlay>,
    /// A command that connects the network namespace. It runs in the host's namespaces.
    pub(crate) network_command: Option<Vec<String>>,
    /// What the sandbox reaches if it has a network.
    pub(crate) egress: Egress,
    /// Its DNS servers.
    pub(crate) resolvers: Vec<IpAddr>,
}

/// The sandbox's disk: it contains what the sandbox writes, the upper directory of its root.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Scratch {
    pub(crate) at: PathBuf,
    /// The image of the disk; without one it is a tmpfs.
    pub(crate) image: Option<PathBuf>,
    /// Size of a tmpfs.
    pub(crate) size_mib: u32,
    /// Uid and gid, outside of a new user namespace, of the user that is root for commands.
    pub(crate) root: (u32, u32),
}

/// The home directory of shelluser, with its uid and gid outside of a new user namespace.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Home {
    pub(crate) path: PathBuf,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// An overlay mount. It isolates watches and locks too: those of another mount of the same files are not
/// seen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Overlay {
    pub(crate) at: PathBuf,
    /// Read-only layers, the topmost first.
    pub(crate) lower: Vec<PathBuf>,
}

/// Names of files in a sandbox's directory that the driver and its launcher share.
pub(crate) const PLAN: &str = "plan.json";
pub(crate) const PID_FILE: &str = "oci/pid";
pub(crate) const STATE_DIR: &str = "oci";
/// The mount point of the user namespace of commands.
pub(crate) const USERS: &str = "users";

/// The subcommand `runtime` of the binary [`Config::exe`](crate::Config::exe); `args` follow that word.
/// Prints errors to stderr, which the driver reads.
pub fn runtime_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let done = match args.as_slice() {
        [verb, dir] if verb == "launch" => launch(Path::new(dir)),
        [verb, what, dir, block @ ..] if verb == "probe" => {
            let block = block.first().and_then(|first| first.to_str()?.parse().ok());
            probe::run(what, Path::new(dir), block.map(Block::at))
        }
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
    let block = match &plan.start {
        Start::Container { isolation, .. } => isolation.block,
        Start::Bare { .. } => None,
    };
    attributes::reset(block)?;
    die_with_parent(plan.parent)?;
    namespaces::enter_cgroups(&plan.procs_files)?;
    match &plan.start {
        Start::Bare { command } => {
            namespaces::enter_leaf(plan.leaf.as_deref())?;
            bare(command, dir)
        }
        Start::Container { isolation, program, waits } => {
            let dir = &bundle_dir(dir, isolation.block);
            if isolation.block.is_some() {
                // Before the user namespaces exist: it holds for all of their users together.
                attributes::limit_processes(plan.pids);
            }
            namespaces::enter(isolation, plan.leaf.as_deref(), program.is_none())?;
            // In rootless mode the limit must not count the server's user's other processes.
            attributes::limit_processes(plan.pids);
            // A change of the user has undone it.
            die_with_parent(plan.parent)?;
            match program {
                None => container::run(&plan.id, dir, *waits),
                Some(program) => Err(exec_runtime(program, &plan.id, dir)),
            }
        }
    }
}

/// Where the OCI runtime finds the sandbox's directory.
pub(crate) fn bundle_dir(dir: &Path, block: Option<Block>) -> PathBuf {
    block.map_or_else(|| dir.to_owned(), |_| uid_range::stage())
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

/// Runs the launcher's probe of a feature in this empty directory, with the ids of the block if there is one.
///
/// # Errors
/// The reason why the feature does not work.
pub(crate) fn probe(
    exe: &Path,
    what: &str,
    dir: &Path,
    block: Option<Block>,
) -> Result<(), String> {
    let args = ["runtime".as_ref(), "probe".as_ref(), OsStr::new(what), dir.as_os_str()];
    let block = block.map(|block| block.runner().to_string());
    let output = Command::new(exe).args(args).args(block).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", exe.display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
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
