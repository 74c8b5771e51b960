//! System calls that neither std nor rustix offers.

use std::fs::{self, File};
use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, RawFd};
use std::ptr;
use std::time::{Duration, Instant};

use runner::protocol::Ended;
use serde::{Deserialize, Serialize};

pub(crate) type Pid = libc::pid_t;

/// The highest possible descriptor. gVisor rejects larger numbers, which Linux accepts.
pub(crate) const LAST_FD: libc::c_uint = libc::c_int::MAX.cast_unsigned();

/// A signalfd(2) for signals that are blocked.
#[derive(Debug)]
pub(crate) struct Signals(File);

impl Signals {
    pub(crate) fn block(signals: &[libc::c_int]) -> io::Result<Self> {
        // SAFETY: a zeroed sigset_t is a valid argument of sigemptyset, which initialises it; all
        // pointers are to that live local.
        let fd = unsafe {
            let mut set: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in signals {
                libc::sigaddset(&mut set, *signal);
            }
            check(libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut()))?;
            check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?
        };
        // SAFETY: signalfd has just returned this descriptor, and nothing else owns it.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    /// The next pending signal, if any.
    pub(crate) fn next(&mut self) -> Option<libc::c_int> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        self.0.read_exact(&mut info).ok()?;
        // `ssi_signo`, a u32, is the first field: see signalfd(2).
        let (number, _) = info.split_first_chunk()?;
        libc::c_int::try_from(u32::from_ne_bytes(*number)).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How a child ended and what it used, as reported by wait4(2).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ChildExit {
    pub(crate) ended: Ended,
    pub(crate) cpu: Duration,
    pub(crate) max_rss_bytes: u64,
}

/// The pid of a child that has ended but was not reaped. The child stays a zombie, so that its pid and
/// its process group id can't be reused yet.
pub(crate) fn ended_child() -> Option<Pid> {
    wait_id(libc::WNOHANG).ok().filter(|pid| *pid > 0)
}

/// Waits until a child has ended, and leaves it a zombie.
pub(crate) fn wait_for_ended_child() -> io::Result<Pid> {
    wait_id(0)
}

fn wait_id(flags: libc::c_int) -> io::Result<Pid> {
    // SAFETY: a zeroed siginfo_t is valid, and waitid writes to that live local only. With WNOHANG
    // and no child ended it leaves si_pid zero.
    unsafe {
        let mut info: libc::siginfo_t = mem::zeroed();
        let flags = libc::WEXITED | libc::WNOWAIT | flags;
        check(libc::waitid(libc::P_ALL, 0, &mut info, flags))?;
        Ok(info.si_pid())
    }
}

/// How a child has ended that stays a zombie.
pub(crate) fn peek(pid: Pid) -> io::Result<ChildExit> {
    // SAFETY: zeroed structs are valid, and the system call, which unlike its wrapper in libc reports
    // the usage, writes to the two live locals only.
    let (info, usage) = unsafe {
        let mut info: libc::siginfo_t = mem::zeroed();
        let mut usage: libc::rusage = mem::zeroed();
        let flags = libc::WEXITED | libc::WNOWAIT;
        let (info_at, usage_at) = (&raw mut info, &raw mut usage);
        let result = libc::syscall(libc::SYS_waitid, libc::P_PID, pid, info_at, flags, usage_at);
        if result == -1 {
            return Err(io::Error::last_os_error());
        }
        (info, usage)
    };
    // SAFETY: waitid has filled these fields for a child that has ended.
    let status = unsafe { info.si_status() };
    let ended =
        if info.si_code == libc::CLD_EXITED { Ended::Code(status) } else { Ended::Signal(status) };
    Ok(child_exit(ended, &usage))
}

/// Reaps a child that has ended, or waits for its end.
pub(crate) fn reap(pid: Pid) -> io::Result<ChildExit> {
    let mut status = 0;
    // SAFETY: a zeroed rusage is valid, and wait4 writes to the two live locals only.
    let usage = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        check(libc::wait4(pid, &mut status, 0, &mut usage))?;
        usage
    };
    let ended = if libc::WIFSIGNALED(status) {
        Ended::Signal(libc::WTERMSIG(status))
    } else {
        Ended::Code(libc::WEXITSTATUS(status))
    };
    Ok(child_exit(ended, &usage))
}

/// Waits for the end of any child and reaps it.
pub(crate) fn wait_and_reap() -> io::Result<()> {
    // SAFETY: a null pointer means that the status is not wanted.
    check(unsafe { libc::waitpid(-1, ptr::null_mut(), 0) }).map(drop)
}

fn child_exit(ended: Ended, usage: &libc::rusage) -> ChildExit {
    ChildExit {
        ended,
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        // Linux counts it in KiB: see getrusage(2).
        max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    }
}

/// Forks this process, which has a single thread. Returns 0 in the child.
pub(crate) fn fork() -> io::Result<Pid> {
    // SAFETY: with a single thread no lock is held by another one, so that the child may go on as the
    // parent could.
    check(unsafe { libc::fork() })
}

/// Ends this process without running destructors, whose effects belong to its parent.
pub(crate) fn exit_at_once() -> ! {
    // SAFETY: takes a plain number and does not return.
    unsafe { libc::_exit(0) }
}

/// Closes every descriptor except this one, and returns it with its new number.
pub(crate) fn keep_only(fd: RawFd) -> io::Result<BorrowedFd<'static>> {
    const NUMBER: RawFd = 3;
    // SAFETY: only a forked child calls this, which uses no other descriptor afterwards; the returned
    // descriptor stays open until that process exits.
    unsafe {
        check(libc::dup2(fd, NUMBER))?;
        check(libc::close_range(0, 2, 0))?;
        check(libc::close_range(4, LAST_FD, 0))?;
        Ok(BorrowedFd::borrow_raw(NUMBER))
    }
}

/// Sends a signal to a process. Does nothing if it has ended.
pub(crate) fn signal(pid: Pid, signal: libc::c_int) {
    debug_assert!(pid > 0, "kill(-1) would hit every process");
    // SAFETY: kill takes plain numbers and touches no memory of this process.
    let _ = unsafe { libc::kill(pid, signal) };
}

/// Sends a signal to every process of the group of `leader`.
pub(crate) fn kill_group(leader: Pid, signal: libc::c_int) -> io::Result<()> {
    debug_assert!(leader > 1, "kill(-1) would hit every process");
    // SAFETY: kill takes plain numbers and touches no memory of ours.
    check(unsafe { libc::kill(-leader, signal) }).map(drop)
}

/// Kills every descendant of a runner that is not PID 1: as a subreaper it becomes the parent of every
/// orphan, so killing children repeatedly reaches all of them, unless they fork faster than this loop
/// kills. When PID 1 ends, the kernel kills all other processes of the pid namespace at once.
pub(crate) fn kill_descendants() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let deadline = Instant::now() + TIMEOUT;
    while std::process::id() != 1 && Instant::now() < deadline {
        let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        if children.is_empty() {
            return;
        }
        for child in children.split_whitespace().filter_map(|pid| pid.parse::<Pid>().ok()) {
            signal(child, libc::SIGKILL);
        }
        while let Some(child) = ended_child() {
            // Can't fail: `ended_child` has just reported it, and only this thread reaps.
            let _ = reap(child);
        }
    }
}

/// Closes every inherited descriptor above stderr, so that no command inherits it.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: called first thing in main, when nothing in this process owns a descriptor above 2.
    check(unsafe { libc::close_range(3, LAST_FD, 0) }).map(drop)
}

/// Converts the result -1 of a C function into the error in `errno`.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}
