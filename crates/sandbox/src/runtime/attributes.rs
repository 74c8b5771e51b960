//! Sets everything that the launcher has inherited from the process that started the server, because PID 1
//! and commands would inherit it in turn.

use std::fs;
use std::io;
use std::ptr;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setpriority_process, umask};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::uid_range::Block;

/// PID 1 is preferred to the commands of its sandbox, with which it shares a CPU limit: it ends those that
/// have run too long. Commands have 0.
const PID_1_NICE: i32 = -10;
/// Counts as 30 percent of the memory in addition to what a process uses: see proc(5). The kernel ends a
/// sandbox rather than the server. With the capability SYS_RESOURCE nobody without it can lower the value.
const OOM_SCORE: &str = "300";
/// The kernel's default, in nanoseconds.
const TIMER_SLACK: libc::c_ulong = 50_000;
/// The kernel's default: anonymous memory, ELF headers and huge pages.
const COREDUMP_FILTER: &str = "0x33";

/// Replaces what can be inherited. What this process may not change, stays.
pub(super) fn reset(block: Option<Block>) -> io::Result<()> {
    umask(Mode::from_raw_mode(0o022));
    std::env::set_current_dir("/")?;
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let _ = fs::write("/proc/self/coredump_filter", COREDUMP_FILTER);
    if let Some(block) = block {
        // A process without a login uid could choose one, and the host's audit log would show it.
        let _ = fs::write("/proc/self/loginuid", block.runner().to_string());
    }
    reset_by_system_calls();
    let _ = setpriority_process(None, PID_1_NICE);
    let _ = sched_setaffinity(None, &all_cpus());
    for (resource, soft, hard) in LIMITS {
        limit(resource, soft, hard);
    }
    Ok(())
}

/// Limits what the kernel counts by user and user namespace to the sandbox's number of processes.
pub(super) fn limit_processes(pids: u32) {
    let pids = Some(u64::from(pids));
    limit(Resource::Nproc, pids, pids);
    limit(Resource::Sigpending, pids, pids);
}

fn all_cpus() -> CpuSet {
    let mut cpus = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| cpus.set(cpu));
    cpus
}

/// Each resource with its soft and its hard limit, `None` for no limit.
const LIMITS: [(Resource, Option<u64>, Option<u64>); 14] = [
    (Resource::As, None, None),
    // 1 prevents also a dump to a program: see core(5).
    (Resource::Core, Some(1), Some(1)),
    (Resource::Cpu, None, None),
    (Resource::Data, None, None),
    (Resource::Fsize, None, None),
    (Resource::Locks, None, None),
    (Resource::Memlock, Some(64 << 10), Some(64 << 10)),
    (Resource::Msgqueue, Some(800 << 10), Some(800 << 10)),
    (Resource::Nice, Some(0), Some(0)),
    (Resource::Nofile, Some(4096), Some(4096)),
    (Resource::Rss, None, None),
    (Resource::Rtprio, Some(0), Some(0)),
    (Resource::Rttime, None, None),
    (Resource::Stack, Some(8 << 20), None),
];

/// Sets a limit, or the nearest one that this process may set.
fn limit(resource: Resource, soft: Option<u64>, hard: Option<u64>) {
    let wanted = Rlimit { current: soft, maximum: hard };
    if rustix::process::setrlimit(resource, wanted).is_ok() {
        return;
    }
    // Only the capability SYS_RESOURCE permits a higher hard limit.
    let maximum = rustix::process::getrlimit(resource).maximum;
    let current = soft.into_iter().chain(maximum).min();
    let _ = rustix::process::setrlimit(resource, Rlimit { current, maximum });
}

/// What neither std nor rustix can set.
#[expect(unsafe_code, reason = "rustix has no functions for these system calls")]
fn reset_by_system_calls() {
    const ALL_SIGNALS: [u64; 1] = [0];
    /// The kernel's `struct sigaction` with the handler `SIG_DFL`.
    const DEFAULT_ACTION: [u64; 4] = [0; 4];
    const MASK_BYTES: usize = size_of::<u64>();
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    const MPOL_DEFAULT: libc::c_long = 0;
    const IO_OF_THIS_PROCESS: libc::c_long = 1;
    let none = ptr::null_mut::<u64>();
    // SAFETY: plain numbers; null pointers where these system calls take one for "none"; pointers to
    // constants and to a local of the sizes that they read. No destination is written.
    unsafe {
        // Inherited descriptors. Rust opens its own later.
        libc::close_range(3, libc::c_uint::MAX, 0);
        // An ignored signal stays ignored, and an ignored SIGCHLD would make children vanish. Rust has set
        // SIGPIPE, and sets it for the programs that it executes.
        for signal in (1..=64).filter(|signal| *signal != libc::SIGPIPE) {
            let action = DEFAULT_ACTION.as_ptr();
            libc::syscall(libc::SYS_rt_sigaction, signal, action, none, MASK_BYTES);
        }
        let mask = ALL_SIGNALS.as_ptr();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, mask, none, MASK_BYTES);
        let normal = libc::sched_param { sched_priority: 0 };
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const normal);
        libc::syscall(libc::SYS_ioprio_set, IO_OF_THIS_PROCESS, 0, 0);
        libc::syscall(libc::SYS_set_mempolicy, MPOL_DEFAULT, none, 0);
        libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, none);
        libc::personality(0);
        libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK, 0, 0, 0);
        libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECUREBITS, 0, 0, 0, 0);
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    }
}
