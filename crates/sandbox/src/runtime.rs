//! The program that makes one container and ends: `EXE runtime launch DIRECTORY`.
//!
//! It is a process of its own because a container is made by forking, which is safe only with a
//! single thread. All mounts that the sandbox needs are made in a new mount namespace, so that they
//! end with the sandbox, however it ends. The container itself is made by `libcontainer`, or by the
//! program of the operator's choice (`runc`, `crun`, ...) in the same place.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use crate::rootless::IdMap;

mod container;
mod links;
mod place;
mod probe;

type AnyError = Box<dyn Error + Send + Sync>;

/// What the launcher finds in its directory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) id: String,
    /// The process that must be alive for the launch to make sense.
    pub(crate) parent: i32,
    /// `cgroup.procs` files to enter by.
    pub(crate) entrances: Vec<PathBuf>,
    pub(crate) start: Start,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    /// The bundle beside the plan, by the program given or else by ourselves.
    Container { place: Place, program: Option<PathBuf> },
    /// A runner on the host itself.
    Bare { command: Vec<OsString> },
}

/// What is made around a container.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// For a user namespace, where the server isn't root.
    pub(crate) ids: Option<IdMap>,
    pub(crate) scratch: Scratch,
    pub(crate) overlay: Option<Overlay>,
    /// Connects the network: run on the host once there is a network namespace to connect.
    pub(crate) connector: Option<Vec<String>>,
}

/// A file system in memory: `tmp` and `home` are in it, and what an overlay writes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Scratch {
    pub(crate) at: PathBuf,
    pub(crate) size_mib: u32,
    /// User and group of the home.
    pub(crate) owner: (u32, u32),
}

/// A root of the sandbox's own, above layers that it shares.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Overlay {
    pub(crate) at: PathBuf,
    /// The highest first.
    pub(crate) lower: Vec<PathBuf>,
}

/// Names in a sandbox's directory that the driver and its launcher share.
pub(crate) const PLAN: &str = "plan.json";
pub(crate) const PID_FILE: &str = "pid";
pub(crate) const STATE_DIR: &str = "oci";

/// The subcommand `runtime` of the binary that [`Config::exe`](crate::Config::exe) names: `args` are
/// what follows that word. Says what went wrong on stderr, which the driver reads.
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
            // Nobody is left to tell if stderr is gone.
            let _ = writeln!(io::stderr(), "{}", in_one_line(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn launch(dir: &Path) -> Result<(), AnyError> {
    let plan: Plan = serde_json::from_slice(&fs::read(dir.join(PLAN))?)?;
    die_with_parent(plan.parent)?;
    place::enter_cgroups(&plan.entrances)?;
    match &plan.start {
        Start::Bare { command } => bare(command, dir),
        Start::Container { place, program } => {
            place::enter(place)?;
            match program {
                None => {
                    place::hide_cgroups()?;
                    container::run(&plan.id, dir)
                }
                Some(program) => Err(foreign(program, &plan.id, dir)),
            }
        }
    }
}

/// Becomes another OCI runtime. Answers only if that can't be.
fn foreign(program: &Path, id: &str, dir: &Path) -> AnyError {
    let mut command = Command::new(program);
    command.arg("--root").arg(dir.join(STATE_DIR)).args(["run", "--detach", "--bundle"]);
    command.arg(dir).arg("--pid-file").arg(dir.join(PID_FILE)).arg(id);
    format!("{}: {}", program.display(), command.exec()).into()
}

/// Starts a runner that has the launcher's control groups and nothing else of a sandbox.
fn bare(command: &[OsString], dir: &Path) -> Result<(), AnyError> {
    let (program, args) = command.split_first().ok_or("there is nothing to run")?;
    let child = Command::new(program).args(args).current_dir("/").process_group(0).spawn()?;
    Ok(fs::write(dir.join(PID_FILE), child.id().to_string())?)
}

/// A launcher that outlives the driver would make a sandbox that its successor believes gone.
fn die_with_parent(parent: i32) -> Result<(), AnyError> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        return Err("the server that asked for it is gone".into());
    }
    Ok(())
}

fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat the cause in their own words.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
