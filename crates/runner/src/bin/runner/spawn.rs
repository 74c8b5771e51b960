//! Starts a command. Everything that can fail or allocate is prepared before the fork.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use runner::protocol::{self, Start};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::pipe::PipeFlags;

use crate::cgroup::Cgroups;
use crate::input::Input;
use crate::members::Members;
use crate::merged::MergedPipes;
use crate::supervisor;
use crate::sys::{self, Pid};
use crate::terminal::{self, Terminal};
use crate::user::User;

mod child;
mod child_terminal;
mod error;
mod plan;
mod privileges;
pub(crate) mod transfer;

pub(crate) use transfer::limit_addresses;

use child::{REPORT_BYTES, Report};
pub(crate) use error::SpawnError;
use plan::{ChildStdio, Plan};

/// Runs command lines, and scripts that have no `#!` line.
const SHELL: &str = "/bin/sh";
/// Size of the pipes: the largest that an unprivileged process may request, see pipe(7). A larger pipe
/// needs fewer wake-ups.
const PIPE_BYTES: usize = 1 << 20;

/// A running command.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) main: Pid,
    pub(crate) members: Members,
    pub(crate) stdio: Stdio,
}

/// This process's ends of a command's standard streams.
#[derive(Debug)]
pub(crate) enum Stdio {
    Pipes {
        /// `None` if the command has no input.
        stdin: Option<Input>,
        stdout: OwnedFd,
        /// `None` if the command writes to stdout what it writes to stderr.
        stderr: Option<OwnedFd>,
    },
    /// stdout and stderr, read as one stream with marks.
    Merged { stdin: Option<Input>, pipes: MergedPipes },
    /// `output` is another descriptor of the same terminal.
    Terminal { terminal: Terminal, output: OwnedFd },
}

/// The user that commands run as.
#[derive(Debug)]
pub(crate) enum Users {
    /// The requested user, who must not be root; the runner must be root.
    Switch,
    /// The requested user, in a user namespace below the runner's. The runner's user has created it and has
    /// no id in it, so that root in it has no rights over the runner.
    Enter { namespace: OwnedFd, allow_root: bool },
    /// The user of the runner.
    Keep,
}

/// What applies to every command of this shell.
#[derive(Debug)]
pub(crate) struct Defaults {
    pub(crate) users: Users,
    /// Variables of the image.
    pub(crate) env: Vec<(String, String)>,
    /// The image's working directory, if it has one.
    pub(crate) workdir: Option<String>,
}

impl Defaults {
    pub(crate) fn of_users(users: Users) -> Self {
        Self { users, env: Vec::new(), workdir: None }
    }
}

pub(crate) fn spawn(
    start: &Start,
    defaults: &Defaults,
    cgroups: Option<&Cgroups>,
) -> Result<Spawned, SpawnError> {
    let user = plan::user(&start.user, &defaults.users)?;
    match start.terminal {
        Some(terminal) => spawn_on_terminal(start, terminal, user, defaults, cgroups),
        None => spawn_on_pipes(start, user, defaults, cgroups),
    }
}

fn spawn_on_pipes(
    start: &Start,
    user: User,
    defaults: &Defaults,
    cgroups: Option<&Cgroups>,
) -> Result<Spawned, SpawnError> {
    let (stdin, child_stdin) = pipe(Mode::from_raw_mode(0o644)).map_err(error::temporary)?;
    rustix::io::ioctl_fionbio(&stdin, true).map_err(error::temporary)?;
    let (output, [child_stdout, child_stderr]) = output(start).map_err(error::temporary)?;
    let child = [child_stdin.as_raw_fd(), child_stdout.as_raw_fd(), child_stderr.as_raw_fd()];
    let mut plan = plan::plan(start, user, defaults, ChildStdio::Pipes(child))?;
    let (main, members) = execute(start, &mut plan, cgroups)?;
    let stdin = Input::new(stdin, start.stdin.clone());
    let stdio = match output {
        Output::Pipes { stdout, stderr } => Stdio::Pipes { stdin, stdout, stderr },
        Output::Merged(pipes) => Stdio::Merged { stdin, pipes },
    };
    Ok(Spawned { main, members, stdio })
}

/// This process's ends of the pipes of stdout and stderr.
enum Output {
    Pipes { stdout: OwnedFd, stderr: Option<OwnedFd> },
    Merged(MergedPipes),
}

/// Pipes for stdout and stderr, and the command's ends of them.
fn output(start: &Start) -> io::Result<(Output, [OwnedFd; 2])> {
    if start.merge && start.marks {
        match MergedPipes::open() {
            Ok((merged, child)) => return Ok((Output::Merged(merged), child)),
            // There is no packet mode, as in gVisor: one pipe still has the order of the writes.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => return Err(error),
        }
    }
    let (child_stdout, stdout) = output_pipe()?;
    let (child_stderr, stderr) = if start.merge {
        (child_stdout.try_clone()?, None)
    } else {
        let (child, own) = output_pipe()?;
        (child, Some(own))
    };
    Ok((Output::Pipes { stdout, stderr }, [child_stdout, child_stderr]))
}

fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (child, own) = pipe(Mode::from_raw_mode(0o622))?;
    rustix::io::ioctl_fionbio(&own, true)?;
    Ok((child, own))
}

/// Starts a program that is not the main process of one job. It has no input, and no output.
pub(crate) fn spawn_shell(
    start: &Start,
    defaults: &Defaults,
    cgroups: Option<&Cgroups>,
) -> Result<(Pid, Members), SpawnError> {
    let user = plan::user(&start.user, &defaults.users)?;
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(error::temporary)?;
    let stdio = ChildStdio::Pipes([null.as_raw_fd(); 3]);
    let mut plan = plan::plan(start, user, defaults, stdio)?;
    execute(start, &mut plan, cgroups)
}

fn spawn_on_terminal(
    start: &Start,
    requested: protocol::Terminal,
    user: User,
    defaults: &Defaults,
    cgroups: Option<&Cgroups>,
) -> Result<Spawned, SpawnError> {
    let (socket, child_socket) = terminal::transfer().map_err(error::temporary)?;
    let size = terminal::size(requested.cols, requested.rows);
    let stdio = ChildStdio::Terminal { size, socket: child_socket.as_raw_fd() };
    let mut plan = plan::plan(start, user, defaults, stdio)?;
    let (main, members) = execute(start, &mut plan, cgroups)?;
    // The child has sent it before it has executed the program.
    let master = terminal::receive(&socket);
    let opened = master.and_then(|master| Ok((master.try_clone()?, master)));
    let (output, master) = opened.map_err(|error| {
        sys::signal(main, libc::SIGKILL);
        discard(main, &members);
        error::temporary(error)
    })?;
    let terminal = Terminal::new(master, requested.idle_ms, Instant::now());
    Ok(Spawned { main, members, stdio: Stdio::Terminal { terminal, output } })
}

/// Starts the planned command and waits until it runs.
fn execute(
    start: &Start,
    plan: &mut Plan,
    cgroups: Option<&Cgroups>,
) -> Result<(Pid, Members), SpawnError> {
    let (report, child_report) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(error::temporary)?;
    plan.report = child_report.as_raw_fd();
    let (main, members) = fork(start, plan, cgroups).map_err(error::temporary)?;
    drop(child_report);
    if let Some(report) = failure(report, main) {
        discard(main, &members);
        return Err(error::of_report(&report, plan, start));
    }
    Ok((main, members))
}

/// Forks the main process: into a cgroup of the job, or below a supervisor where it can't have one.
fn fork(start: &Start, plan: &mut Plan, cgroups: Option<&Cgroups>) -> io::Result<(Pid, Members)> {
    let Some(cgroups) = cgroups else {
        let (supervisor, main) = supervisor::spawn(|| child::fork(plan), start.background)?;
        return Ok((main, Members::Supervisor(supervisor)));
    };
    let cgroup = cgroups.create()?;
    let forked = cgroup.entrances().and_then(|entrances| {
        plan.cgroup = entrances;
        child::fork(plan)
    });
    let main = forked.inspect_err(|_| _ = cgroup.remove())?;
    Ok((main, Members::Cgroup(cgroup)))
}

/// Reaps a child that has reported a failure: it exits right after that.
fn discard(main: Pid, members: &Members) {
    match members {
        Members::Cgroup(cgroup) => {
            // No other code knows the pid.
            let _ = sys::reap(main);
            cgroup.remove();
        }
        // The main process is reaped as an orphan.
        Members::Supervisor(supervisor) => drop(sys::reap(supervisor.pid)),
        // Not of a process that was just started.
        Members::Noted(_) => {}
    }
}

/// The write end and the read end of a pipe.
///
/// The pipe belongs to root; the mode allows the command to reopen its end as `/dev/stdin` or
/// `/dev/stdout`.
fn pipe(mode: Mode) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // gVisor can't change the mode; reopening fails there.
    let _ = rustix::fs::fchmod(&write, mode);
    enlarge(&read);
    Ok((write, read))
}

pub(crate) fn enlarge(pipe: impl AsFd) {
    // Fails if the user has too many pages in pipes; the default size works as well.
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
}

/// The child's failure; `None` once it has executed the program. Another command may have stopped the child
/// by a signal; it is killed then, because this process serves all jobs and must not wait for it.
fn failure(report: OwnedFd, main: Pid) -> Option<Report> {
    const TIMEOUT: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
    let mut readable = [PollFd::new(&report, PollFlags::IN)];
    if matches!(poll(&mut readable, Some(&TIMEOUT)), Ok(0)) {
        sys::signal(main, libc::SIGKILL);
    }
    let mut bytes = [0; REPORT_BYTES];
    File::from(report).read_exact(&mut bytes).ok()?;
    Some(Report::from_bytes(bytes))
}
