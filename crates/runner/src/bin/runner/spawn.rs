//! Starts a command. Everything that can fail or allocate is prepared before the fork.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use runner::protocol::Start;
use rustix::fs::{MemfdFlags, Mode};
use rustix::pipe::PipeFlags;

use crate::sys::{self, Pid};
use crate::user::User;

mod child;

use child::Step;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Size of the output pipes: the largest that an unprivileged process may request, see pipe(7). A
/// larger pipe needs fewer wake-ups.
const PIPE_BYTES: usize = 1 << 20;

/// A command could not be started; nothing ran.
#[derive(Debug)]
pub(crate) enum SpawnError {
    NotFound(String),
    /// The same request would fail again.
    Invalid(String),
    /// Processes, memory or descriptors were missing; the same request may succeed later.
    Temporary(String),
}

/// A running command, and the read ends of its output pipes.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: Pid,
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
    /// The user to switch to; `None` keeps the user of this process.
    switch_to: Option<User>,
    stdio: [RawFd; 3],
    /// The report pipe: closed by a successful exec, else the child writes its failure to it.
    report: RawFd,
}

/// The user that commands run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Users {
    /// The requested user; the runner must be root.
    Switch,
    /// The user of the runner.
    Keep,
}

pub(crate) fn spawn(start: &Start, users: Users) -> Result<Spawned, SpawnError> {
    let user = user(&start.user, users)?;
    let env = environment(&start.env, &user)?;
    let stdin = stdin(&start.stdin).map_err(temporary)?;
    let (stdout, child_stdout) = output_pipe().map_err(temporary)?;
    let (stderr, child_stderr) = output_pipe().map_err(temporary)?;
    let (report, child_report) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(temporary)?;
    let program = start.argv.first().filter(|program| !program.is_empty());
    let program = program.ok_or_else(|| {
        SpawnError::Invalid("argv is empty or its first item is empty".to_owned())
    })?;
    let plan = Plan {
        programs: candidates(program, env.get("PATH").map_or(DEFAULT_PATH, String::as_str))?,
        argv: start.argv.iter().map(|arg| c_string(arg)).collect::<Result<_, _>>()?,
        env: env.iter().map(|(k, v)| c_string(&format!("{k}={v}"))).collect::<Result<_, _>>()?,
        directories: match &start.cwd {
            Some(asked_for) => vec![c_string(asked_for)?],
            // login(1) also starts in `/` if the home directory is missing.
            None => vec![c_string(&user.home)?, c"/".to_owned()],
        },
        switch_to: (users == Users::Switch).then_some(user),
        stdio: [stdin.as_raw_fd(), child_stdout.as_raw_fd(), child_stderr.as_raw_fd()],
        report: child_report.as_raw_fd(),
    };
    let pid = child::fork(&plan).map_err(temporary)?;
    drop(child_report);
    match failed_step(report) {
        None => Ok(Spawned { pid, stdout, stderr }),
        Some((step, error)) => {
            // The child exits right after its report, and no other code knows its pid.
            let _ = sys::reap(pid);
            Err(spawn_error(step, &error, program))
        }
    }
}

fn user(name: &str, users: Users) -> Result<User, SpawnError> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = match users {
        Users::Switch => {
            let group = fs::read_to_string("/etc/group").unwrap_or_default();
            User::named(name, &passwd, &group)
        }
        Users::Keep => {
            let uid = rustix::process::geteuid().as_raw();
            User::current(name, uid, rustix::process::getegid().as_raw(), &passwd)
        }
    };
    found.map_err(|error| SpawnError::Invalid(format!("user {name:?}: {error}")))
}

/// The command's environment. It contains nothing of PID 1's own environment, whose variables may lead
/// to credentials.
fn environment(
    given: &[(String, String)],
    user: &User,
) -> Result<BTreeMap<String, String>, SpawnError> {
    let own = [
        ("PATH", DEFAULT_PATH),
        ("HOME", &user.home),
        ("USER", &user.name),
        ("SHELL", &user.shell),
        ("LANG", "C.UTF-8"),
        ("TERM", "dumb"),
    ];
    if given.iter().any(|(key, _)| key.is_empty() || key.contains('=')) {
        let message = "the name of an environment variable is empty or contains \"=\"";
        return Err(SpawnError::Invalid(message.to_owned()));
    }
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(own.into_iter().chain(given.iter().cloned()).collect())
}

fn candidates(program: &str, path: &str) -> Result<Vec<CString>, SpawnError> {
    if program.contains('/') {
        return Ok(vec![c_string(program)?]);
    }
    path.split(':')
        .map(|dir| if dir.is_empty() { "." } else { dir })
        .map(|dir| c_string(&format!("{dir}/{program}")))
        .collect()
}

fn c_string(text: &str) -> Result<CString, SpawnError> {
    CString::new(text)
        .map_err(|_| SpawnError::Invalid("the command contains a NUL byte".to_owned()))
}

/// The command's standard input: a memfd, so that input of any size never blocks this process; or
/// `/dev/null` if empty, because some programs process any readable file on stdin.
fn stdin(bytes: &[u8]) -> io::Result<File> {
    use std::io::Seek;
    if bytes.is_empty() {
        return File::open("/dev/null");
    }
    let mut file = File::from(rustix::fs::memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// A pipe whose read end is non-blocking.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // The pipe belongs to root; the mode allows the command to reopen it as /dev/stdout.
    rustix::fs::fchmod(&write, Mode::from_raw_mode(0o622))?;
    rustix::io::ioctl_fionbio(&read, true)?;
    // Fails if the user has too many pages in pipes; the default size works as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&read, PIPE_BYTES);
    Ok((read, write))
}

fn failed_step(report: OwnedFd) -> Option<(Step, io::Error)> {
    let mut bytes = [0; 5];
    File::from(report).read_exact(&mut bytes).ok()?;
    let [step, errno @ ..] = bytes;
    Some((Step::from_byte(step), io::Error::from_raw_os_error(i32::from_ne_bytes(errno))))
}

fn spawn_error(step: Step, error: &io::Error, program: &str) -> SpawnError {
    let is_temporary = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM));
    let message = format!("{}: {error}", step.failure());
    if is_temporary {
        SpawnError::Temporary(message)
    } else if step == Step::Exec && error.kind() == io::ErrorKind::NotFound {
        SpawnError::NotFound(format!("no such program: {program}"))
    } else {
        SpawnError::Invalid(message)
    }
}

fn temporary(error: impl Into<io::Error>) -> SpawnError {
    SpawnError::Temporary(format!("cannot start a process: {}", error.into()))
}
