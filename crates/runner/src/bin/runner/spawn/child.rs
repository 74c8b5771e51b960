//! The child's code between fork and exec: system calls only, no allocation, no lock, no panic.

use std::ffi::{CString, c_char, c_int};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;

use super::plan::{ChildStdio, Plan};
use super::{child_terminal, privileges};
use crate::sys::{self, Pid, check};

/// The step at which a child failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Setup,
    Privileges,
    Terminal,
    Directory,
    Exec,
    /// The program exists, but not its interpreter.
    Interpreter,
    /// The program has no interpreter, and the shell that would run it does not exist.
    Shell,
}

/// Length of an encoded [`Report`]; a pipe transfers so few bytes at once.
pub(super) const REPORT_BYTES: usize = 9;

/// A child's failure, which it sends over the report pipe.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) step: Step,
    pub(super) error: io::Error,
    /// Index of the path in [`Plan::programs`] that the error is about.
    pub(super) program: usize,
}

impl Report {
    fn to_bytes(&self) -> [u8; REPORT_BYTES] {
        let [a, b, c, d] = self.error.raw_os_error().unwrap_or(0).to_ne_bytes();
        let [e, f, g, h] = u32::try_from(self.program).unwrap_or(0).to_ne_bytes();
        [self.step as u8, a, b, c, d, e, f, g, h]
    }

    pub(super) fn from_bytes(bytes: [u8; REPORT_BYTES]) -> Self {
        let [step, a, b, c, d, program @ ..] = bytes;
        let steps = [
            Step::Setup,
            Step::Privileges,
            Step::Terminal,
            Step::Directory,
            Step::Exec,
            Step::Interpreter,
            Step::Shell,
        ];
        Self {
            step: steps.into_iter().find(|known| *known as u8 == step).unwrap_or(Step::Setup),
            error: io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d])),
            program: usize::try_from(u32::from_ne_bytes(program)).unwrap_or(0),
        }
    }
}

/// Forks a child that executes the planned command, or writes the reason of its failure to the report
/// pipe.
pub(super) fn fork(plan: &Plan) -> io::Result<Pid> {
    let argv = pointers(&plan.argv);
    let env = pointers(&plan.env);
    // The arguments of the shell that runs a script without a `#!` line; the path is set later.
    let mut shell_argv = vec![c"sh".as_ptr(), ptr::null()];
    shell_argv.extend_from_slice(&argv[1..]);
    let pid = sys::fork()?;
    if pid == 0 { become_command(plan, &argv, &mut shell_argv, &env) } else { Ok(pid) }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

fn become_command(
    plan: &Plan,
    argv: &[*const c_char],
    shell_argv: &mut [*const c_char],
    env: &[*const c_char],
) -> ! {
    let report = match prepare(plan) {
        Ok(()) => execute(&plan.programs, argv, shell_argv, env),
        Err((step, error)) => Report { step, error, program: 0 },
    };
    let report = report.to_bytes();
    // SAFETY: `report` is live for the write; _exit ends this process without running any handler.
    unsafe {
        libc::write(plan.report, report.as_ptr().cast(), report.len());
        libc::_exit(127)
    }
}

fn prepare(plan: &Plan) -> Result<(), (Step, io::Error)> {
    set_up(&plan.cgroup).and_then(|()| set_stdio(plan)).map_err(|error| (Step::Setup, error))?;
    privileges::become_user(plan.namespace, plan.switch_to.as_ref())
        .map_err(|error| (Step::Privileges, error))?;
    if let ChildStdio::Terminal { size, socket } = plan.stdio {
        child_terminal::open(size, socket).map_err(|error| (Step::Terminal, error))?;
    }
    // Before a path of the caller is used, which could lead through a descriptor of PID 1.
    close_all_except(plan.report).map_err(|error| (Step::Setup, error))?;
    // After switching users, because the directory must be accessible to the user, not to root.
    enter(&plan.directories).map_err(|error| (Step::Directory, error))
}

/// Changes to the first directory that can be entered; else returns the error of the last one.
fn enter(directories: &[CString]) -> io::Result<()> {
    let mut entered = Ok(());
    for directory in directories {
        // SAFETY: a NUL-terminated string that outlives the call.
        entered = check(unsafe { libc::chdir(directory.as_ptr()) }).map(drop);
        if entered.is_ok() {
            break;
        }
    }
    entered
}

/// Enters the cgroup, and gives up what a command must not inherit of the runner.
pub(super) fn set_up(cgroup: &[OwnedFd]) -> io::Result<()> {
    // SAFETY: a zeroed sigset_t is a valid argument of sigemptyset; the rest takes plain numbers
    // and descriptors that the parent keeps open until after the fork.
    unsafe {
        for entrance in cgroup {
            check_size(libc::write(entrance.as_raw_fd(), c"0".as_ptr().cast(), 1))?;
        }
        // A new session also makes a new process group, whose id is the child's pid.
        check(libc::setsid())?;
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        check(libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut()))?;
        default_signals();
        raise_oom_score();
        // The runner has a higher priority than its commands. Fails if the whole shell has a lower one.
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        limit_resources()?;
        libc::umask(0o022);
    }
    Ok(())
}

fn set_stdio(plan: &Plan) -> io::Result<()> {
    if let ChildStdio::Pipes(stdio) = plan.stdio {
        for (number, fd) in (0..).zip(stdio) {
            // SAFETY: descriptors that the parent keeps open until after the fork.
            check(unsafe { libc::dup2(fd, number) })?;
        }
    }
    Ok(())
}

fn check_size(result: libc::ssize_t) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Resets every signal to its default action: Rust's runtime ignores SIGPIPE, the parent of the runner
/// may have ignored other signals, and exec keeps ignored signals ignored. Uses the system call itself,
/// because libc rejects the two signals that it reserves.
fn default_signals() {
    /// The kernel's `struct sigaction` with the handler `SIG_DFL`.
    const DEFAULT: [u64; 4] = [0; 4];
    /// Size of the signal mask in that struct.
    const MASK_BYTES: usize = 8;
    for signal in 1..=64 {
        // SAFETY: reads the constant, which is at least as large as the struct on 64-bit Linux.
        // The call fails for SIGKILL and SIGSTOP, whose action can't change.
        unsafe {
            let previous = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), previous, MASK_BYTES);
        }
    }
}

/// Limits that getrlimit(2) shows to a command, whatever the process that started the server had. A hard
/// limit that is lower stays as it is.
fn limit_resources() -> io::Result<()> {
    /// A core dump may be piped to a program of the host that runs as root. The kernel pipes no dump at
    /// a limit of 1: see core(5).
    const NO_CORE_DUMP: libc::rlim_t = 1;
    let limits = [
        (libc::RLIMIT_CORE, NO_CORE_DUMP),
        (libc::RLIMIT_NOFILE, 4096),
        (libc::RLIMIT_MEMLOCK, 64 << 10),
        (libc::RLIMIT_MSGQUEUE, 800 << 10),
        (libc::RLIMIT_RTPRIO, 0),
    ];
    for (resource, maximum) in limits {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both calls take a plain number and a live struct.
        unsafe {
            check(libc::getrlimit(resource, &mut limit))?;
            limit.rlim_max = limit.rlim_max.min(maximum);
            limit.rlim_cur = limit.rlim_max;
            match check(libc::setrlimit(resource, &limit)) {
                // Lowering a limit needs no privilege: gVisor answers EPERM to the limits that it lacks.
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
                set => drop(set?),
            }
        }
    }
    Ok(())
}

/// Makes the out-of-memory killer prefer a command to PID 1, which holds the results of all jobs.
/// Does nothing if `/proc` is not mounted.
fn raise_oom_score() {
    /// Counts as half of the memory limit in addition to what the process uses: see proc(5).
    const SCORE: &[u8] = b"500";
    // SAFETY: a NUL-terminated path and a live buffer; the descriptor is closed where it was opened.
    unsafe {
        let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
        if fd != -1 {
            libc::write(fd, SCORE.as_ptr().cast(), SCORE.len());
            libc::close(fd);
        }
    }
}

/// Closes every descriptor above stderr except this one.
fn close_all_except(kept: RawFd) -> io::Result<()> {
    let kept = kept.cast_unsigned();
    for (first, last) in [(3, kept.saturating_sub(1)), (kept + 1, sys::LAST_FD)] {
        if first <= last {
            // SAFETY: this process uses no other descriptor any more.
            check(unsafe { libc::close_range(first, last, 0) })?;
        }
    }
    Ok(())
}

/// Executes the first program that can be executed, as execvp(3) does. Returns only if none could.
fn execute(
    programs: &[CString],
    argv: &[*const c_char],
    shell_argv: &mut [*const c_char],
    env: &[*const c_char],
) -> Report {
    let report = |step: Step, errno: c_int, program: usize| {
        let error = io::Error::from_raw_os_error(errno);
        Report { step, error, program }
    };
    let failed = |errno: c_int, program: usize| report(Step::Exec, errno, program);
    let mut found = None;
    for (index, program) in programs.iter().enumerate() {
        // SAFETY: all strings are NUL-terminated and both lists end with a null pointer.
        unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
        match io::Error::last_os_error().raw_os_error().unwrap_or(0) {
            // SAFETY: a NUL-terminated string. The program exists, so its interpreter does not.
            libc::ENOENT if unsafe { libc::access(program.as_ptr(), libc::F_OK) } == 0 => {
                found = found.or(Some((Step::Interpreter, libc::ENOENT, index)));
            }
            libc::ENOENT | libc::ENOTDIR => {}
            // Another directory of PATH may contain an executable file of this name.
            libc::EACCES => found = found.or(Some((Step::Exec, libc::EACCES, index))),
            libc::ENOEXEC if !is_elf(program) => {
                if let Some(path) = shell_argv.get_mut(1) {
                    *path = program.as_ptr();
                }
                // SAFETY: as above.
                unsafe { libc::execve(c"/bin/sh".as_ptr(), shell_argv.as_ptr(), env.as_ptr()) };
                let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
                return report(Step::Shell, errno, index);
            }
            errno => return failed(errno, index),
        }
    }
    let (step, errno, index) = found.unwrap_or((Step::Exec, libc::ENOENT, 0));
    report(step, errno, index)
}

/// Whether the file is a compiled program, which no shell can run.
fn is_elf(program: &CString) -> bool {
    const MAGIC: [u8; 4] = *b"\x7fELF";
    let mut start = [0; MAGIC.len()];
    // SAFETY: a NUL-terminated path and a live buffer; the descriptor is closed where it was opened.
    unsafe {
        let fd = libc::open(program.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd != -1 {
            libc::read(fd, start.as_mut_ptr().cast(), start.len());
            libc::close(fd);
        }
    }
    start == MAGIC
}
