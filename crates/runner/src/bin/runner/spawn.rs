//! Starts one command: everything that can fail or allocate is made ready here, before the fork.

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
/// The most that an unprivileged process may ask for, see pipe(7): fewer wake-ups per byte.
const PIPE_BYTES: usize = 1 << 20;

/// Why nothing was run.
#[derive(Debug)]
pub(crate) enum Refusal {
    NotFound(String),
    /// It would fail again.
    Never(String),
    /// A lack that may pass.
    Now(String),
}

/// A command that runs, and the read ends of its output.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: Pid,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// What the forked child needs, all of it allocated beforehand.
struct Plan {
    /// Where the program may be, in order.
    programs: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Where it may start, in order.
    directories: Vec<CString>,
    /// `None`: keep the user of this process.
    switch_to: Option<User>,
    stdio: [RawFd; 3],
    /// Closed by a successful exec, else told the failed step.
    report: RawFd,
}

/// Whether commands get their own user, or for want of privileges that of the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Users {
    Switch,
    Keep,
}

pub(crate) fn spawn(start: &Start, users: Users) -> Result<Spawned, Refusal> {
    let user = user(&start.user, users)?;
    let env = environment(&start.env, &user)?;
    let stdin = stdin(&start.stdin).map_err(lack)?;
    let (stdout, child_stdout) = output_pipe().map_err(lack)?;
    let (stderr, child_stderr) = output_pipe().map_err(lack)?;
    let (report, child_report) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(lack)?;
    let program = start.argv.first().filter(|program| !program.is_empty());
    let program = program.ok_or_else(|| Refusal::Never("argv names no program".to_owned()))?;
    let plan = Plan {
        programs: candidates(program, env.get("PATH").map_or(DEFAULT_PATH, String::as_str))?,
        argv: start.argv.iter().map(|arg| c_string(arg)).collect::<Result<_, _>>()?,
        env: env.iter().map(|(k, v)| c_string(&format!("{k}={v}"))).collect::<Result<_, _>>()?,
        directories: match &start.cwd {
            Some(asked_for) => vec![c_string(asked_for)?],
            // As login does for users whose home is missing.
            None => vec![c_string(&user.home)?, c"/".to_owned()],
        },
        switch_to: (users == Users::Switch).then_some(user),
        stdio: [stdin.as_raw_fd(), child_stdout.as_raw_fd(), child_stderr.as_raw_fd()],
        report: child_report.as_raw_fd(),
    };
    let pid = child::fork(&plan).map_err(lack)?;
    drop(child_report);
    match failed_step(report) {
        None => Ok(Spawned { pid, stdout, stderr }),
        Some((step, error)) => {
            // It has reported, so it is about to exit; nobody else knows its pid.
            let _ = sys::reap(pid);
            Err(refusal(step, &error, program))
        }
    }
}

fn user(name: &str, users: Users) -> Result<User, Refusal> {
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
    found.map_err(|refused| Refusal::Never(format!("user {name:?}: {refused}")))
}

/// Clean: nothing of PID 1's own, which may tell where credentials are.
fn environment(
    given: &[(String, String)],
    user: &User,
) -> Result<BTreeMap<String, String>, Refusal> {
    let own = [
        ("PATH", DEFAULT_PATH),
        ("HOME", &user.home),
        ("USER", &user.name),
        ("SHELL", &user.shell),
        ("LANG", "C.UTF-8"),
        ("TERM", "dumb"),
    ];
    if given.iter().any(|(key, _)| key.is_empty() || key.contains('=')) {
        return Err(Refusal::Never("a variable's name is empty or contains =".to_owned()));
    }
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(own.into_iter().chain(given.iter().cloned()).collect())
}

fn candidates(program: &str, path: &str) -> Result<Vec<CString>, Refusal> {
    if program.contains('/') {
        return Ok(vec![c_string(program)?]);
    }
    path.split(':')
        .map(|dir| if dir.is_empty() { "." } else { dir })
        .map(|dir| c_string(&format!("{dir}/{program}")))
        .collect()
}

fn c_string(text: &str) -> Result<CString, Refusal> {
    CString::new(text).map_err(|_| Refusal::Never("a NUL byte in the command".to_owned()))
}

/// A file in memory, so that input of any size never blocks this process. None at all is
/// `/dev/null`: some programs take a readable file for what they are to work on.
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

/// Its read end never blocks this process.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // It belongs to root, and the command may open its /dev/stdout again all the same.
    rustix::fs::fchmod(&write, Mode::from_raw_mode(0o622))?;
    rustix::io::ioctl_fionbio(&read, true)?;
    // Refused when the user has too many pages in pipes; the default size works as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&read, PIPE_BYTES);
    Ok((read, write))
}

fn failed_step(report: OwnedFd) -> Option<(Step, io::Error)> {
    let mut told = [0; 5];
    File::from(report).read_exact(&mut told).ok()?;
    let [step, errno @ ..] = told;
    Some((Step::from_byte(step), io::Error::from_raw_os_error(i32::from_ne_bytes(errno))))
}

fn refusal(step: Step, error: &io::Error, program: &str) -> Refusal {
    let passing = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM));
    let message = format!("{}: {error}", step.what());
    if passing {
        Refusal::Now(message)
    } else if step == Step::Exec && error.kind() == io::ErrorKind::NotFound {
        Refusal::NotFound(format!("no such program: {program}"))
    } else {
        Refusal::Never(message)
    }
}

fn lack(error: impl Into<io::Error>) -> Refusal {
    Refusal::Now(format!("cannot start a process: {}", error.into()))
}
