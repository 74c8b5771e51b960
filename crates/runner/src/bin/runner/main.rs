//! PID 1 of a shell: reaps zombies, runs each job once as an unprivileged user, and keeps the job's
//! output until a caller has stored it elsewhere.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use runner::protocol::LIFETIME_VARIABLE;

use rustix::process::DumpableBehavior;

use crate::cgroup::Cgroups;
use crate::end::End;
use crate::jobs::Jobs;
use crate::link::Link;
use crate::relay::{ProtocolLines, TerminalBytes};
use crate::server::Server;
use crate::spawn::{Defaults, Users};
use crate::store::Store;
use crate::sys::Signals;

mod capture;
mod cgroup;
mod command_line;
mod connection;
mod end;
mod files;
mod image;
mod input;
mod job;
mod jobs;
mod link;
mod marks;
mod members;
mod merged;
mod processes;
mod recording;
mod relay;
mod server;
mod shell;
mod spawn;
mod store;
mod supervisor;
mod sys;
mod terminal;
mod user;

const USAGE: &str = "usage: runner [--stdio | --terminal JOB | --files] [--socket PATH] [--jobs DIRECTORY] \
                     [--keep-user] [--users NAMESPACE [--allow-root]] [--image-settings] \
                     [--cgroup DIRECTORY]... [--lifetime-ms N] [--owner PIPE]";

#[derive(Debug)]
struct Options {
    socket: PathBuf,
    jobs: PathBuf,
    keep_user: bool,
    /// The file of the user namespace that commands enter, which belongs to this process's user.
    namespace: Option<PathBuf>,
    /// Whether commands may run as root in that namespace.
    allow_root: bool,
    /// Whether commands get the environment and the working directory of this process, which are those
    /// of the image then.
    image_settings: bool,
    /// The directories of the runner's own cgroup, in which the cgroups of jobs are created.
    cgroup: Vec<PathBuf>,
    /// How long the runner runs, unless a caller moves its deadline.
    lifetime: Option<Duration>,
    /// A named pipe. The runner shuts down when no process has it open for writing any more.
    owner: Option<PathBuf>,
    /// Connect stdin and stdout to the socket of a runner that already runs, and end with them.
    relay: Option<Relayed>,
}

/// What is relayed between stdin and stdout and a runner's socket.
#[derive(Debug)]
enum Relayed {
    /// The protocol.
    Protocol,
    /// The terminal of the job with this id.
    Terminal(String),
    /// Nothing is relayed: this process itself carries out the request for files that comes on stdin.
    Files,
}

fn main() -> ExitCode {
    let done = options(std::env::args_os().skip(1)).and_then(|options| {
        sys::close_inherited()?;
        match &options.relay {
            None => serve(&options),
            Some(Relayed::Protocol) => relay::run(&options.socket, ProtocolLines::new()),
            Some(Relayed::Files) => files::serve_stdin(),
            Some(Relayed::Terminal(job_id)) => {
                relay::run(&options.socket, TerminalBytes::new(job_id.clone()))
            }
        }
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
    link::hide_token()?;
    let users = users(options)?;
    if !matches!(users, Users::Keep) {
        // No process of another user may read what is in the memory of this one or of a child.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    // SIGCHLD must be blocked before the first child exists, or its end could be missed.
    let signals = Signals::block(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT])?;
    // Orphans of jobs are reparented to PID 1; a runner that is not PID 1 must be a subreaper.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let oom_log = options.socket.with_file_name("oom-kills");
    let cgroups = (!options.cgroup.is_empty()).then(|| Cgroups::open(&options.cgroup, oom_log));
    let cgroups = cgroups.transpose().unwrap_or_else(|error| {
        // Jobs have supervisors instead, with less accounting.
        let _ = writeln!(io::stderr(), "runner: jobs have no cgroups: {error}");
        None
    });
    let defaults =
        if options.image_settings { image::defaults(users) } else { Defaults::of_users(users) };
    let jobs = Jobs::new(Store::open(&options.jobs)?, defaults, cgroups)?;
    let end = End::open(options.lifetime, options.owner.as_deref())?;
    let link = Link::open(&options.socket)?;
    Server::new(&options.socket, signals, jobs, end, link)?.run()
}

fn users(options: &Options) -> io::Result<Users> {
    match &options.namespace {
        Some(_) if options.keep_user => Err(io::Error::other(USAGE)),
        Some(path) => {
            let namespace = File::open(path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
            Ok(Users::Enter { namespace: namespace.into(), allow_root: options.allow_root })
        }
        None if options.allow_root => {
            Err(io::Error::other("--allow-root needs a user namespace for commands: --users"))
        }
        None if !options.keep_user => Ok(Users::Switch),
        None if rustix::process::geteuid().is_root() => Err(io::Error::other(
            "--keep-user as root would run commands as root; start the runner as another user",
        )),
        None => Ok(Users::Keep),
    }
}

fn options(mut args: impl Iterator<Item = OsString>) -> io::Result<Options> {
    let mut options = Options {
        socket: "/run/ephemeral/runner.sock".into(),
        jobs: "/run/ephemeral/jobs".into(),
        keep_user: false,
        namespace: None,
        allow_root: false,
        image_settings: false,
        cgroup: Vec::new(),
        lifetime: lifetime_of_environment(),
        owner: None,
        relay: None,
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
            Some("--stdio") => options.relay = Some(Relayed::Protocol),
            Some("--files") => options.relay = Some(Relayed::Files),
            Some("--terminal") => {
                let job_id = args.next().and_then(|id| id.into_string().ok()).ok_or_else(usage)?;
                options.relay = Some(Relayed::Terminal(job_id));
            }
            Some("--image-settings") => options.image_settings = true,
            // For tests and hosts without a sandbox: commands run as the user of the runner.
            Some("--keep-user") => options.keep_user = true,
            Some("--users") => options.namespace = Some(args.next().ok_or_else(usage)?.into()),
            Some("--allow-root") => options.allow_root = true,
            _ => return Err(usage()),
        }
    }
    Ok(options)
}

fn lifetime_of_environment() -> Option<Duration> {
    std::env::var(LIFETIME_VARIABLE).ok()?.parse().ok().map(Duration::from_secs)
}
