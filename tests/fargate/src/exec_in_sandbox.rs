//! Runs a command in a sandbox, as `exec` of a container runtime does.
//!
//! There are two programs, because entering a PID namespace takes effect only for child processes:
//! `join` enters the control groups and all namespaces except the mount namespace. Its child `lead`
//! creates a session on the terminal at its standard input, enters the mount namespace, and executes
//! the command.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use rustix::{
    process::{Pid, PidfdFlags, ioctl_tiocsctty, pidfd_open, setsid},
    thread::{
        CapabilitySet, LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space,
        move_into_thread_name_spaces, remove_capability_from_bounding_set,
    },
};

/// The first argument of both programs.
pub const SUBCOMMAND: &str = "enter";

/// The capabilities of root in a container of Docker, and so of Fargate.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// The arguments that run `argv` in the sandbox of this PID 1.
pub(crate) fn arguments(init: Pid, argv: &[String]) -> Vec<String> {
    let arguments = [SUBCOMMAND.to_owned(), "join".to_owned(), init.as_raw_nonzero().to_string()];
    arguments.into_iter().chain(argv.iter().cloned()).collect()
}

/// Runs `join` or `lead`. `args` follow [`SUBCOMMAND`]. The process must have a single thread.
pub fn enter_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let done = match args.as_slice() {
        [verb, init, argv @ ..] if verb == "join" => join(init, argv),
        [verb, init, argv @ ..] if verb == "lead" => Err(lead(init, argv)),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    done.unwrap_or_else(|error| {
        // The user reads this message on the terminal; the format is the agent's.
        let message = format!("----------ERROR-------\nUnable to start command: {error}\n");
        // The terminal may be closed already.
        let _gone = io::Write::write_all(&mut io::stderr(), message.as_bytes());
        ExitCode::FAILURE
    })
}

fn join(init: &OsStr, argv: &[OsString]) -> io::Result<ExitCode> {
    for group in groups(init)? {
        fs::write(group.join("cgroup.procs"), "0")?;
    }
    let number = init.to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    let number = number.ok_or(io::ErrorKind::InvalidInput)?;
    let sandbox = pidfd_open(number, PidfdFlags::empty())?;
    let namespaces = ThreadNameSpaceType::CONTROL_GROUP
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::PROCESS_ID;
    move_into_thread_name_spaces(sandbox.as_fd(), namespaces)?;
    let mut leader = Command::new("/proc/self/exe");
    let status = leader.args([SUBCOMMAND, "lead"]).arg(init).args(argv).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns only if the command can't be executed.
fn lead(init: &OsStr, argv: &[OsString]) -> io::Error {
    let Err(error) = become_command(init, argv) else { return io::ErrorKind::Other.into() };
    error
}

fn become_command(init: &OsStr, argv: &[OsString]) -> io::Result<()> {
    let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    setsid()?;
    ioctl_tiocsctty(io::stdin())?;
    let process = Path::new("/proc").join(init);
    let environment = fs::read(process.join("environ"))?;
    let mounts = File::open(process.join("ns/mnt"))?;
    move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
    for capability in CapabilitySet::all() - CAPABILITIES {
        // The kernel refuses capabilities that it does not have.
        let _unknown = remove_capability_from_bounding_set(capability);
    }
    let mut command = Command::new(program);
    command.args(args).env_clear().current_dir("/");
    command.envs(environment.split(|byte| *byte == 0).filter_map(variable));
    // The agent sets these two.
    command.env("TERM", "xterm-256color").env("HOME", "/root");
    Err(command.exec())
}

/// Splits `NAME=VALUE`.
fn variable(text: &[u8]) -> Option<(&OsStr, &OsStr)> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let (name, value) = text.split_at(at);
    Some((OsStr::from_bytes(name), OsStr::from_bytes(value.get(1..)?)))
}

/// The control groups of a process that are not the root of their hierarchy, by cgroups(7).
fn groups(process: &OsStr) -> io::Result<Vec<PathBuf>> {
    let own = fs::read_to_string(Path::new("/proc").join(process).join("cgroup"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let groups = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let below = path.strip_prefix('/').filter(|path| !path.is_empty())?;
        Some(mount_of(&mounts, controllers)?.join(below))
    });
    Ok(groups.collect())
}

/// The mount point of a cgroup hierarchy; version 2 has no controllers in its name.
fn mount_of(mountinfo: &str, controllers: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let (name, options) = (kind.next()?, kind.nth(1)?);
        let is_it = match controllers {
            "" => name == "cgroup2",
            _ => {
                name == "cgroup"
                    && controllers.split(',').all(|c| options.split(',').any(|o| o == c))
            }
        };
        is_it.then(|| place.split(' ').nth(4).map(PathBuf::from)).flatten()
    })
}
