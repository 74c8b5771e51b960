//! PID 1 of a shell: reaps zombies, runs each job once as an unprivileged user, and keeps the job's
//! output until a caller has stored it elsewhere.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use runner::protocol::LIFETIME_VARIABLE;

use crate::cgroup::Cgroups;
use crate::end::End;
use crate::jobs::Jobs;
use crate::server::Server;
use crate::spawn::Users;
use crate::store::Store;
use crate::sys::Signals;

mod capture;
mod cgroup;
mod connection;
mod end;
mod input;
mod job;
mod jobs;
mod members;
mod processes;
mod relay;
mod server;
mod spawn;
mod store;
mod supervisor;
mod sys;
mod user;

const USAGE: &str = "usage: runner [--stdio] [--socket PATH] [--jobs DIRECTORY] [--keep-user] \
                     [--cgroup DIRECTORY]... [--lifetime-ms N] [--owner PIPE]";

#[derive(Debug)]
struct Options {
    socket: PathBuf,
    jobs: PathBuf,
    users: Users,
    /// The directories of the runner's own cgroup, in which the cgroups of jobs are created.
    cgroup: Vec<PathBuf>,
    /// How long the runner runs, unless a caller moves its deadline.
    lifetime: Option<Duration>,
    /// A named pipe. The runner shuts down when no process has it open for writing any more.
    owner: Option<PathBuf>,
    /// Connect stdin and stdout to the socket of a runner that already runs.
    stdio: bool,
}

fn main() -> ExitCode {
    let done = options(std::env::args_os().skip(1)).and_then(|options| {
        sys::close_inherited()?;
        if options.stdio { relay::run(&options.socket) } else { serve(&options) }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr can't be written, the exit code still reports the failure.
            let _ = writeln!(io::stderr(), "runner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> io::Result<()> {
    if options.users == Users::Keep && rustix::process::geteuid().is_root() {
        return Err(io::Error::other(
            "--keep-user as root would run commands as root; start the runner as another user",
        ));
    }
    // SIGCHLD must be blocked before the first child exists, or its end could be missed.
    let signals = Signals::block()?;
    // Orphans of jobs are reparented to PID 1; a runner that is not PID 1 must be a subreaper.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let oom_log = options.socket.with_file_name("oom-kills");
    let cgroups = (!options.cgroup.is_empty()).then(|| Cgroups::open(&options.cgroup, oom_log));
    let cgroups = cgroups.transpose().unwrap_or_else(|error| {
        // Jobs have supervisors instead, with less accounting.
        let _ = writeln!(io::stderr(), "runner: jobs have no cgroups: {error}");
        None
    });
    let jobs = Jobs::new(Store::open(&options.jobs)?, options.users, cgroups)?;
    let end = End::open(options.lifetime, options.owner.as_deref())?;
    Server::new(&options.socket, signals, jobs, end)?.run()
}

fn options(mut args: impl Iterator<Item = OsString>) -> io::Result<Options> {
    let mut options = Options {
        socket: "/run/ephemeral/runner.sock".into(),
        jobs: "/run/ephemeral/jobs".into(),
        users: Users::Switch,
        cgroup: Vec::new(),
        lifetime: lifetime_of_environment(),
        owner: None,
        stdio: false,
    };
    let usage = || io::Error::other(USAGE);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--socket") => options.socket = args.next().ok_or_else(usage)?.into(),
            Some("--jobs") => options.jobs = args.next().ok_or_else(usage)?.into(),
            Some("--cgroup") => options.cgroup.push(args.next().ok_or_else(usage)?.into()),
            Some("--lifetime-ms") => {
                let text = args.next().ok_or_else(usage)?;
                let number = text.to_str().and_then(|text| text.parse().ok());
                options.lifetime = Some(Duration::from_millis(number.ok_or_else(usage)?));
            }
            Some("--owner") => options.owner = Some(args.next().ok_or_else(usage)?.into()),
            Some("--stdio") => options.stdio = true,
            // For tests and hosts without a sandbox: commands run as the user of the runner.
            Some("--keep-user") => options.users = Users::Keep,
            _ => return Err(usage()),
        }
    }
    Ok(options)
}

fn lifetime_of_environment() -> Option<Duration> {
    std::env::var(LIFETIME_VARIABLE).ok()?.parse().ok().map(Duration::from_secs)
}
