//! Prepares the start of a command: its program, environment, directories and user.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use runner::protocol::Start;
use rustix::fs::{Mode, OFlags};
use rustix::termios::Winsize;

use super::error::{self, SpawnError};
use super::{Defaults, SHELL, Users};
use crate::terminal;
use crate::user::User;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything that the forked child needs, allocated before the fork.
pub(super) struct Plan {
    /// Paths at which to look for the program, in order.
    pub(super) programs: Vec<CString>,
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
    /// Working directories to try, in order.
    pub(super) directories: Vec<CString>,
    /// The user namespace to enter, and its descriptor stays open until then.
    pub(super) namespace: Option<RawFd>,
    /// The user to switch to; `None` keeps the user of this process.
    pub(super) switch_to: Option<User>,
    pub(super) stdio: ChildStdio,
    /// Files into which the child writes `0` to enter the job's cgroup.
    pub(super) cgroup: Vec<OwnedFd>,
    /// The report pipe: closed by a successful exec, else the child writes its failure to it.
    pub(super) report: RawFd,
}

/// What becomes the standard streams of the child.
pub(super) enum ChildStdio {
    /// The command's ends of three pipes.
    Pipes([RawFd; 3]),
    /// A new terminal, which the child opens as the command's user: another user could not give it to them.
    /// The child sends the runner's end over this socket.
    Terminal { size: Winsize, socket: RawFd },
}

pub(super) fn plan(
    start: &Start,
    user: User,
    defaults: &Defaults,
    stdio: ChildStdio,
) -> Result<Plan, SpawnError> {
    let (program, argv) = program_and_arguments(start, &user)?;
    let env = environment(&defaults.env, start, &user)?;
    Ok(Plan {
        programs: candidates(&program, env.get("PATH").map_or(DEFAULT_PATH, String::as_str))?,
        argv: argv.iter().map(|arg| c_string(arg)).collect::<Result<_, _>>()?,
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
        stdio,
        cgroup: Vec::new(),
        report: -1,
    })
}

/// The program to execute, and its arguments including the name by which the program is called.
fn program_and_arguments(start: &Start, user: &User) -> Result<(String, Vec<String>), SpawnError> {
    if start.terminal.is_some() && start.argv.is_empty() {
        // The leading hyphen makes a shell read the files of a login shell, as login(1) does it.
        let name = user.shell.rsplit('/').next().unwrap_or_default();
        return Ok((user.shell.clone(), vec![format!("-{name}")]));
    }
    let program = start.argv.first().filter(|program| !program.is_empty());
    let program =
        program.ok_or_else(|| error::invalid("argv is empty or its first item is empty"))?;
    Ok((program.clone(), start.argv.clone()))
}

pub(super) fn user(name: &str, users: &Users) -> Result<User, SpawnError> {
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

/// The command's environment: what is given for it, above the variables of the image, above ours.
fn environment(
    image: &[(String, String)],
    start: &Start,
    user: &User,
) -> Result<BTreeMap<String, String>, SpawnError> {
    let given = &start.env;
    let defaults = [
        ("PATH", DEFAULT_PATH),
        ("HOME", &user.home),
        ("USER", &user.name),
        ("SHELL", &user.shell),
        ("LANG", "C.UTF-8"),
        ("TERM", if start.terminal.is_some() { terminal::TERM } else { "dumb" }),
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
