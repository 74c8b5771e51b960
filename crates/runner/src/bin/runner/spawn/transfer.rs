//! Starts a process that serves one connection as the user of commands.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{self, AssertUnwindSafe};

use super::{Defaults, SpawnError, Users, child, error, plan, privileges};
use crate::cgroup::{Cgroups, JobCgroup};
use crate::sys::{self, Pid, check};
use crate::user::User;

/// The most address space of such a process. An archive's headers must not make it take the memory of the
/// shell's commands.
const MAX_ADDRESS_SPACE: libc::rlim_t = 256 << 20;

/// A running process that serves a connection.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) pid: Pid,
    pub(crate) cgroup: Option<JobCgroup>,
}

impl Transfer {
    /// Whether a signal has stopped the process.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The name of the program, in parentheses, may contain anything.
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        state.is_some_and(|rest| rest.starts_with(['T', 't']))
    }
}

/// Forks a process that calls `prepare`, becomes the user, changes to the user's home directory and runs what
/// `prepare` has returned with this connection, its only descriptor. It executes no program: as this process,
/// it can't be traced by others.
pub(crate) fn spawn<W: FnOnce(OwnedFd)>(
    user: &str,
    defaults: &Defaults,
    cgroups: Option<&Cgroups>,
    connection: BorrowedFd<'_>,
    prepare: impl FnOnce() -> W,
) -> Result<Transfer, SpawnError> {
    let user = plan::user(user, &defaults.users)?;
    let home = CString::new(user.home.as_str()).map_err(|_| error::invalid("no home directory"))?;
    let cgroup = cgroups.map(Cgroups::create).transpose().map_err(error::temporary)?;
    let entrances = cgroup.as_ref().map(JobCgroup::entrances).transpose();
    let forked = entrances.and_then(|entrances| Ok((sys::fork()?, entrances.unwrap_or_default())));
    match forked {
        Ok((0, entrances)) => {
            let namespace = match &defaults.users {
                Users::Enter { namespace, .. } => Some(namespace.as_raw_fd()),
                Users::Switch | Users::Keep => None,
            };
            let user = (!matches!(defaults.users, Users::Keep)).then_some(&user);
            // A panic must not continue with the loop of the runner.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| {
                child::set_up(&entrances)?;
                let work = prepare();
                become_transfer(namespace, user, connection, &home).map(work)
            }));
            sys::exit_at_once();
        }
        Ok((pid, _)) => Ok(Transfer { pid, cgroup }),
        Err(error) => {
            cgroup.inspect(|cgroup| _ = cgroup.remove());
            Err(error::temporary(error))
        }
    }
}

fn become_transfer(
    namespace: Option<RawFd>,
    user: Option<&User>,
    connection: BorrowedFd<'_>,
    home: &CString,
) -> io::Result<OwnedFd> {
    privileges::become_user(namespace, user)?;
    let connection = sys::keep_only(connection.as_raw_fd())?.as_fd().try_clone_to_owned()?;
    limit_addresses()?;
    // A missing home directory leaves the process in `/`, as it leaves a command.
    // SAFETY: plain numbers and NUL-terminated strings.
    unsafe {
        // A caller that has gone must not end this process before it has removed what is not complete.
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        if libc::chdir(home.as_ptr()) == -1 {
            check(libc::chdir(c"/".as_ptr()))?;
        }
    }
    Ok(connection)
}

/// Limits the address space of this process, which serves a request for files.
pub(crate) fn limit_addresses() -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: MAX_ADDRESS_SPACE, rlim_max: MAX_ADDRESS_SPACE };
    // SAFETY: a live struct.
    unsafe { check(libc::setrlimit(libc::RLIMIT_AS, &limit)) }.map(drop)
}
