//! Starts a command. Everything that can fail or allocate is prepared before the fork.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use runner::protocol::Start;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use crate::cgroup::Cgroups;
use crate::input::Input;
use crate::members::Members;
use crate::supervisor;
use crate::sys::{self, Pid};
use crate::user::User;

mod child;
mod error;
mod privileges;

use child::{REPORT_BYTES, Report};
pub(crate) use error::SpawnError;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Runs command lines, and scripts that have no `#!` line.
const SHELL: &str = "/bin/sh";
/// Size of the pipes: the largest that an unprivileged process may request, see pipe(7). A larger pipe
/// needs fewer wake-ups.
const PIPE_BYTES: usize = 1 << 20;

/// A running command, and this process's ends of its pipes.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) main: Pid,
    pub(crate) members: Members,
    /// `None` if the command has no input.
    pub(crate) stdin: Option<Input>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Everything that the forked child needs, allocated before the fork.
struct Plan {
    /// Paths at which to look for the program, in order.
    programs: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Working directories to try, in order.
    directories: Vec<CString>,
    /// The user namespace to enter, and its descriptor stays open until then.
    namespace: Option<RawFd>,
    /// The user to switch to; `None` keeps the user of this process.
    switch_to: Option<User>,
    stdio: [RawFd; 3],
    /// Files into which the child writes `0` to enter the job's cgroup.
    cgroup: Vec<OwnedFd>,
    /// The report pipe: closed by a successful exec, else the child writes its failure to it.
    report: RawFd,
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
    let user = user(&start.user, &defaults.users)?;
    let (stdin, child_stdin) = pipe(Mode::from_raw_mode(0o644)).map_err(error::temporary)?;
    let (child_stdout, stdout) = pipe(Mode::from_raw_mode(0o622)).map_err(error::temporary)?;
    let (child_stderr, stderr) = pipe(Mode::from_raw_mode(0o622)).map_err(error::temporary)?;
    for own in [&stdin, &stdout, &stderr] {
        rustix::io::ioctl_fionbio(own, true).map_err(error::temporary)?;
    }
    let (report, child_report) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(error::temporary)?;
    let mut plan = plan(start, user, defaults)?;
    plan.stdio = [child_stdin.as_raw_fd(), child_stdout.as_raw_fd(), child_stderr.as_raw_fd()];
    plan.report = child_report.as_raw_fd();
    let (main, members) = fork(start, &mut plan, cgroups).map_err(error::temporary)?;
    drop(child_report);
    if let Some(report) = failure(report, main) {
        discard(main, &members);
        return Err(error::of_report(&report, &plan, start));
    }
    let stdin = Input::new(stdin, start.stdin.clone());
    Ok(Spawned { main, members, stdin, stdout, stderr })
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
    }
}

fn plan(start: &Start, user: User, defaults: &Defaults) -> Result<Plan, SpawnError> {
    let program = start.argv.first().filter(|program| !program.is_empty());
    let program =
        program.ok_or_else(|| error::invalid("argv is empty or its first item is empty"))?;
    let env = environment(&defaults.env, &start.env, &user)?;
    Ok(Plan {
        programs: candidates(program, env.get("PATH").map_or(DEFAULT_PATH, String::as_str))?,
        argv: start.argv.iter().map(|arg| c_string(arg)).collect::<Result<_, _>>()?,
        env: env.iter().map(|(k, v)| c_string(&format!("{k}={v}"))).collect::<Result<_, _>>()?,
        directories: match (&start.cwd, &defaults.workdir) {
            (Some(requested), _) => vec![c_string(requested)?],
            // login(1) also starts in `/` if the home directory is missing.
            (None, None) => vec![c_string(&user.home)?, c"/".to_owned()],
            (None, Some(workdir)) => {
                vec![c_string(workdir)?, c_string(&user.home)?, c"/".to_owned()]
            }
        },
        namespace: match &defaults.users {
            Users::Enter { namespace, .. } => Some(namespace.as_raw_fd()),
            Users::Switch | Users::Keep => None,
        },
        switch_to: (!matches!(defaults.users, Users::Keep)).then_some(user),
        stdio: [-1; 3],
        cgroup: Vec::new(),
        report: -1,
    })
}

fn user(name: &str, users: &Users) -> Result<User, SpawnError> {
    let passwd = table("/etc/passwd");
    let found = match users {
        Users::Switch => User::named(name, &passwd, &table("/etc/group"), false),
        Users::Enter { allow_root, .. } => {
            User::named(name, &passwd, &table("/etc/group"), *allow_root)
        }
        Users::Keep => {
            let uid = rustix::process::geteuid().as_raw();
            User::current(name, uid, rustix::process::getegid().as_raw(), &passwd)
        }
    };
    found.map_err(|error| error::invalid(&format!("user {name:?}: {error}")))
}

/// The content of a file, which root among the commands may have replaced by anything: this process must
/// neither wait for it nor read it without end.
fn table(path: &str) -> String {
    const MAX_BYTES: u64 = 1 << 20;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut content = Vec::new();
    if let Ok(file) = rustix::fs::open(path, flags, Mode::empty()).map(File::from)
        && file.metadata().is_ok_and(|found| found.is_file())
    {
        // A part that can be read still has the users in it.
        let _ = file.take(MAX_BYTES).read_to_end(&mut content);
    }
    String::from_utf8_lossy(&content).into_owned()
}

/// The command's environment: what is `given` for it, above the variables of the image, above ours.
fn environment(
    image: &[(String, String)],
    given: &[(String, String)],
    user: &User,
) -> Result<BTreeMap<String, String>, SpawnError> {
    let defaults = [
        ("PATH", DEFAULT_PATH),
        ("HOME", &user.home),
        ("USER", &user.name),
        ("SHELL", &user.shell),
        ("LANG", "C.UTF-8"),
        ("TERM", "dumb"),
        // Python buffers output to a pipe; a timeout would lose what it has printed.
        ("PYTHONUNBUFFERED", "1"),
        // Tells programs that they run in a shell of this service.
        ("EPHEMERAL", "1"),
    ];
    if given.iter().any(|(key, _)| key.is_empty() || key.contains('=')) {
        return Err(error::invalid(
            "the name of an environment variable is empty or contains \"=\"",
        ));
    }
    let defaults = defaults.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(defaults.into_iter().chain(image.iter().cloned()).chain(given.iter().cloned()).collect())
}

/// The paths at which execvp(3) looks for the program. A command line needs `sh`, so that one is also
/// found if `PATH` lacks its directory.
fn candidates(program: &str, path: &str) -> Result<Vec<CString>, SpawnError> {
    if program.contains('/') {
        return Ok(vec![c_string(program)?]);
    }
    let dirs = path.split(':').map(|dir| if dir.is_empty() { "." } else { dir });
    let paths = dirs.map(|dir| format!("{dir}/{program}"));
    let shell = (program == "sh").then(|| SHELL.to_owned());
    paths.chain(shell).map(|path| c_string(&path)).collect()
}

fn c_string(text: &str) -> Result<CString, SpawnError> {
    CString::new(text).map_err(|_| error::invalid("the command contains a NUL byte"))
}

/// The write end and the read end of a pipe.
///
/// The pipe belongs to root; the mode allows the command to reopen its end as `/dev/stdin` or
/// `/dev/stdout`.
fn pipe(mode: Mode) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // gVisor can't change the mode; reopening fails there.
    let _ = rustix::fs::fchmod(&write, mode);
    // Fails if the user has too many pages in pipes; the default size works as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&read, PIPE_BYTES);
    Ok((write, read))
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
