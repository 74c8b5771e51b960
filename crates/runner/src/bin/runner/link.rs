//! The program that opens a connection to the runner's service, where one is to be opened.
//!
//! The runner starts it, starts it again when it ends, and keeps its token: in a file in memory that only
//! the two of them have open. The environment in which a container engine passes the token is replaced,
//! because that of PID 1 can be read for as long as it runs.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;

use crate::sys;

/// The service; without this variable nothing is started.
const URL: &str = "EPHEMERAL_LINK_URL";
/// The token of the first connection.
const TOKEN: &str = "EPHEMERAL_LINK_TOKEN";
/// What the program needs of the environment, besides the URL: where it can ask for the task's name.
const METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";
/// The program, in the directory of this one.
const PROGRAM: &str = "runner-link";
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// The program, running or about to be started.
#[derive(Debug)]
pub(crate) struct Link {
    program: PathBuf,
    url: String,
    socket: PathBuf,
    token: OwnedFd,
    child: Option<Child>,
    start_at: Instant,
    is_ending: bool,
}

/// If the environment has a token, executes this program again without it. The token is then in the file that
/// is standard input. Returns only if there is none, or on an error.
pub(crate) fn hide_token() -> io::Result<()> {
    let Some(token) = env::var_os(TOKEN) else { return Ok(()) };
    let mut file = File::from(rustix::fs::memfd_create("token", MemfdFlags::CLOEXEC)?);
    file.write_all(token.as_encoded_bytes())?;
    let mut args = env::args_os();
    let name = args.next().unwrap_or_default();
    let mut again = Command::new(env::current_exe()?);
    Err(again.arg0(name).args(args).env_remove(TOKEN).stdin(Stdio::from(file)).exec())
}

impl Link {
    /// The program for a runner with this socket, if the environment names a service.
    pub(crate) fn open(socket: &Path) -> io::Result<Option<Self>> {
        let Ok(url) = env::var(URL) else { return Ok(None) };
        let token = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
        // Nothing else inherits the token.
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok(Some(Self {
            program: env::current_exe()?.with_file_name(PROGRAM),
            url,
            socket: socket.to_owned(),
            token,
            child: None,
            start_at: Instant::now(),
            is_ending: false,
        }))
    }

    /// When [`Link::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.child.is_none() && !self.is_ending).then_some(self.start_at)
    }

    /// Starts the program if it does not run.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.due().is_some_and(|at| at <= now) {
            self.start_at = now + RESTART_AFTER;
            match self.start() {
                Ok(child) => self.child = Some(child),
                Err(error) => {
                    let program = self.program.display();
                    let _ = writeln!(io::stderr(), "runner: can't start {program}: {error}");
                }
            }
        }
    }

    /// Notices that the program has ended. Called before other children are reaped.
    pub(crate) fn reap(&mut self, now: Instant) {
        if let Some(child) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            self.child = None;
            self.start_at = now + RESTART_AFTER;
        }
    }

    /// Tells the program to send its last reports and to end.
    pub(crate) fn end(&mut self) {
        self.is_ending = true;
        if let Some(pid) = self.child.as_ref().and_then(|child| sys::Pid::try_from(child.id()).ok())
        {
            sys::signal(pid, libc::SIGTERM);
        }
    }

    /// Whether the program runs.
    pub(crate) const fn is_running(&self) -> bool {
        self.child.is_some()
    }

    fn start(&self) -> io::Result<Child> {
        let metadata = env::var_os(METADATA);
        Command::new(&self.program)
            .arg(OsStr::new("--socket"))
            .arg(&self.socket)
            .env_clear()
            .env(URL, &self.url)
            .envs(metadata.map(|value| (METADATA, value)))
            .stdin(Stdio::from(self.token.try_clone()?))
            .spawn()
    }
}
