//! Reduces a child's privileges to the command's: system calls only, no allocation, no lock, no panic.

use std::io;
use std::os::fd::RawFd;

use crate::sys::check;
use crate::user::User;

/// Enters the namespace and becomes the user; `None` keeps the one of this process.
pub(super) fn become_user(namespace: Option<RawFd>, user: Option<&User>) -> io::Result<()> {
    if let Some(namespace) = namespace {
        // SAFETY: a plain number, and a descriptor that the parent keeps open.
        check(unsafe { libc::setns(namespace, libc::CLONE_NEWUSER) })?;
    }
    let mut kept = 0;
    if let Some(user) = user {
        if user.uid == 0 {
            kept = root_capabilities();
        }
        reduce_bounding_set(kept)?;
        // SAFETY: the list of groups is live for the call; the others take plain numbers.
        unsafe {
            check(libc::setgroups(user.groups.len(), user.groups.as_ptr()))?;
            check(libc::setresgid(user.gid, user.gid, user.gid))?;
            check(libc::setresuid(user.uid, user.uid, user.uid))?;
            // Until exec, this process's memory is a copy of PID 1's. With the sysctl fs.suid_dumpable set,
            // the change of the user has let others of that user read it.
            check(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0))?;
        }
    }
    keep_capabilities(kept)?;
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// The capabilities of root among the commands, as a bit mask: those over files and users, which package
/// managers need. They hold for the ids of the command's user namespace only. The other namespaces of the
/// shell belong to the runner's, so that none of them would give rights over mounts or the network.
const fn root_capabilities() -> u64 {
    const CHOWN: u64 = 1 << 0;
    const DAC_OVERRIDE: u64 = 1 << 1;
    const FOWNER: u64 = 1 << 3;
    const FSETID: u64 = 1 << 4;
    const KILL: u64 = 1 << 5;
    const SETGID: u64 = 1 << 6;
    const SETUID: u64 = 1 << 7;
    const SETPCAP: u64 = 1 << 8;
    const SETFCAP: u64 = 1 << 31;
    CHOWN | DAC_OVERRIDE | FOWNER | FSETID | KILL | SETGID | SETUID | SETPCAP | SETFCAP
}

/// Drops every other capability from the bounding set; the kernel answers EINVAL to the first number that
/// is not a capability.
fn reduce_bounding_set(kept: u64) -> io::Result<()> {
    for capability in 0..u64::BITS {
        if kept >> capability & 1 == 1 {
            continue;
        }
        let capability = libc::c_ulong::from(capability);
        // SAFETY: plain numbers.
        let Err(error) = check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) })
        else {
            continue;
        };
        // Without the right to drop capabilities, those that are not in the set need not be dropped.
        // SAFETY: plain numbers.
        match check(unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) }) {
            Ok(0) => {}
            Ok(_) => return Err(error),
            Err(_) => break,
        }
    }
    Ok(())
}

/// Reduces the effective and permitted capability sets to these, and clears the ambient and inheritable
/// ones.
fn keep_capabilities(kept: u64) -> io::Result<()> {
    /// From linux/capability.h.
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let mut header = [LINUX_CAPABILITY_VERSION_3, 0];
    let [a, b, c, d, e, f, g, h] = kept.to_ne_bytes();
    let halves = [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])];
    let (low, high) = if cfg!(target_endian = "little") { (0, 1) } else { (1, 0) };
    // Effective, permitted and inheritable capabilities, the lower ones first.
    let sets = [halves[low], halves[low], 0, halves[high], halves[high], 0];
    // SAFETY: plain numbers; then the live header and the two live data structs of capset(2).
    unsafe {
        match check(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)) {
            // A kernel without ambient capabilities, such as gVisor's.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            cleared => drop(cleared?),
        }
        let result = libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr());
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
