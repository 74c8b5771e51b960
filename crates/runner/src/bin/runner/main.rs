//! PID 1 of a shell: reaps zombies, runs each job once as an unprivileged user, and keeps what it
//! wrote until somebody has stored it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::jobs::Jobs;
use crate::server::Server;
use crate::spawn::Users;
use crate::store::Store;
use crate::sys::Signals;

mod bridge;
mod capture;
mod connection;
mod job;
mod jobs;
mod oom;
mod server;
mod spawn;
mod store;
mod sys;
mod user;

const USAGE: &str = "usage: runner [--stdio] [--socket PATH] [--jobs DIRECTORY] [--keep-user]";

#[derive(Debug)]
struct Options {
    socket: PathBuf,
    jobs: PathBuf,
    users: Users,
    /// Not a runner but a way to one.
    stdio: bool,
}

fn main() -> ExitCode {
    let done = options(std::env::args_os().skip(1)).and_then(|options| {
        sys::close_inherited()?;
        if options.stdio { bridge::run(&options.socket) } else { serve(&options) }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If even that can't be written, the exit code remains.
            let _ = writeln!(io::stderr(), "runner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> io::Result<()> {
    if options.users == Users::Keep && rustix::process::geteuid().is_root() {
        return Err(io::Error::other("--keep-user as root would run commands as root"));
    }
    // Signals first: a child must not end before its end can be seen.
    let signals = Signals::block()?;
    // PID 1 gets every orphan anyway; elsewhere, ask for those of our jobs.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let jobs = Jobs::new(Store::open(&options.jobs)?, options.users)?;
    Server::new(&options.socket, signals, jobs)?.run()
}

fn options(mut args: impl Iterator<Item = OsString>) -> io::Result<Options> {
    let mut options = Options {
        socket: "/run/ephemeral/runner.sock".into(),
        jobs: "/run/ephemeral/jobs".into(),
        users: Users::Switch,
        stdio: false,
    };
    let usage = || io::Error::other(USAGE);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--socket") => options.socket = args.next().ok_or_else(usage)?.into(),
            Some("--jobs") => options.jobs = args.next().ok_or_else(usage)?.into(),
            Some("--stdio") => options.stdio = true,
            // For tests and hosts without a sandbox: commands run as whoever started the runner.
            Some("--keep-user") => options.users = Users::Keep,
            _ => return Err(usage()),
        }
    }
    Ok(options)
}
