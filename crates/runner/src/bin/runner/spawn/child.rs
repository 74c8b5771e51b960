//! The child's code between fork and exec: system calls only, no allocation, no lock, no panic.

use std::ffi::{CString, c_char, c_int};
use std::io;
use std::ptr;

use super::Plan;
use crate::sys::{Pid, check};
use crate::user::User;

/// The step at which a child failed; the child sends it over the report pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Setup,
    Privileges,
    Directory,
    Exec,
}

impl Step {
    pub(super) fn from_byte(byte: u8) -> Self {
        let steps = [Self::Setup, Self::Privileges, Self::Directory, Self::Exec];
        steps.into_iter().find(|step| *step as u8 == byte).unwrap_or(Self::Setup)
    }

    pub(super) fn failure(self) -> &'static str {
        match self {
            Self::Setup => "cannot set the process up",
            Self::Privileges => "cannot drop privileges",
            Self::Directory => "cannot enter the working directory",
            Self::Exec => "cannot execute the program",
        }
    }
}

/// Forks a child that executes the planned command, or writes the reason of its failure to the report
/// pipe.
pub(super) fn fork(plan: &Plan) -> io::Result<Pid> {
    let argv = pointers(&plan.argv);
    let env = pointers(&plan.env);
    // SAFETY: this process has a single thread, so no lock is held in the child, which makes
    // nothing but system calls on memory prepared above until it executes or exits.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 { become_command(plan, &argv, &env) } else { Ok(pid) }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

fn become_command(plan: &Plan, argv: &[*const c_char], env: &[*const c_char]) -> ! {
    let (step, error) = match prepare(plan) {
        Ok(()) => (Step::Exec, execute(&plan.programs, argv, env)),
        Err(failed) => failed,
    };
    let [a, b, c, d] = error.raw_os_error().unwrap_or(0).to_ne_bytes();
    let report = [step as u8, a, b, c, d];
    // SAFETY: `report` is live for the write; _exit ends this process without running any handler.
    unsafe {
        libc::write(plan.report, report.as_ptr().cast(), report.len());
        libc::_exit(127)
    }
}

fn prepare(plan: &Plan) -> Result<(), (Step, io::Error)> {
    set_up(plan).map_err(|error| (Step::Setup, error))?;
    drop_privileges(plan.switch_to.as_ref()).map_err(|error| (Step::Privileges, error))?;
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

fn set_up(plan: &Plan) -> io::Result<()> {
    // SAFETY: a zeroed sigset_t is a valid argument of sigemptyset; the rest takes plain numbers
    // and descriptors that the parent keeps open until after the fork.
    unsafe {
        // A new session also makes a new process group, whose id is the child's pid.
        check(libc::setsid())?;
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        check(libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut()))?;
        default_signals();
        raise_oom_score();
        libc::umask(0o022);
        for (number, fd) in (0..).zip(plan.stdio) {
            check(libc::dup2(fd, number))?;
        }
    }
    Ok(())
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

fn drop_privileges(user: Option<&User>) -> io::Result<()> {
    if let Some(user) = user {
        empty_bounding_set()?;
        // SAFETY: the list of groups is live for the call; the others take plain numbers.
        unsafe {
            check(libc::setgroups(user.groups.len(), user.groups.as_ptr()))?;
            check(libc::setresgid(user.gid, user.gid, user.gid))?;
            check(libc::setresuid(user.uid, user.uid, user.uid))?;
        }
    }
    clear_capabilities()?;
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Drops every capability from the bounding set; the kernel answers EINVAL to the first number that is
/// not a capability.
fn empty_bounding_set() -> io::Result<()> {
    for capability in 0..=libc::c_ulong::from(u8::MAX) {
        // SAFETY: plain numbers.
        match check(unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) }) {
            Ok(0) => {}
            Ok(_) => {
                // SAFETY: plain numbers.
                check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) })?;
            }
            Err(_) => break,
        }
    }
    Ok(())
}

/// Clears the ambient, effective, permitted and inheritable capability sets.
fn clear_capabilities() -> io::Result<()> {
    /// From linux/capability.h.
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let mut header = [LINUX_CAPABILITY_VERSION_3, 0];
    let none = [0u32; 6];
    // SAFETY: plain numbers; then the live header and the two live data structs of capset(2).
    unsafe {
        check(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))?;
        let result = libc::syscall(libc::SYS_capset, header.as_mut_ptr(), none.as_ptr());
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Executes the first program that can be executed. Returns only if none could, with the error that
/// execvp(3) would report.
fn execute(programs: &[CString], argv: &[*const c_char], env: &[*const c_char]) -> io::Error {
    let mut worst: c_int = libc::ENOENT;
    for program in programs {
        // SAFETY: all strings are NUL-terminated and both lists end with a null pointer.
        unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            // Another directory of PATH may contain an executable file of this name.
            Some(libc::EACCES) => worst = libc::EACCES,
            _ => return error,
        }
    }
    io::Error::from_raw_os_error(worst)
}
