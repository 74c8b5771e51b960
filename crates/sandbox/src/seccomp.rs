//! The system calls that a sandbox may make: those that Docker and containerd allow an unprivileged
//! container, with the differences that `docs/seccomp.md` lists and explains.
//!
//! One table is the source of the OCI form, for external runtimes, and of the filter that the built-in
//! runtime installs itself.

use std::collections::BTreeMap;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use syscalls::Sysno;

/// Names of allowed system calls, one per line, sorted.
const ALLOWED: &str = include_str!("seccomp/allowed.txt");

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EAFNOSUPPORT: u32 = 97;

/// Answered by ENOSYS, so that programs fall back: clone3, whose flags are behind a pointer, which a
/// filter can't read, and io_setup.
const ABSENT: [Sysno; 2] = [Sysno::clone3, Sysno::io_setup];

/// The largest number that the filter answers by ENOSYS as one of a newer kernel: programs try new system
/// calls and fall back, and would take EPERM for a refusal of their arguments. Each year brings some ten.
const NEWEST: i64 = 511;

/// `CLONE_NEW*` of clone(2): cgroup, uts, ipc, user, pid, net, mount.
const NEW_NAMESPACES: u64 = 0x7E02_0000;
/// The allowed second argument of setns(2): `CLONE_NEWUSER`.
const USER_NAMESPACE: u64 = 0x1000_0000;
/// The allowed address families of socket(2) and socketpair(2): `AF_UNIX`, `AF_INET`, `AF_INET6`.
const SOCKET_FAMILIES: [u64; 3] = [1, 2, 10];
const SOCKET_CALLS: [Sysno; 2] = [Sysno::socket, Sysno::socketpair];
/// Allowed arguments of personality(2): `PER_LINUX` and `PER_LINUX32`, with and without `UNAME26`, and
/// the value that only queries.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

fn allowed() -> impl Iterator<Item = &'static str> {
    ALLOWED.split_ascii_whitespace()
}

/// The profile as `linux.seccomp` of an OCI configuration.
pub(crate) fn oci() -> Result<LinuxSeccomp, OciSpecError> {
    use LinuxSeccompOperator::{ScmpCmpEq, ScmpCmpMaskedEq};
    let mut rules = vec![
        allow(allowed(), None)?,
        allow(["clone"], Some(arg(ScmpCmpMaskedEq, NEW_NAMESPACES).value_two(0_u64)))?,
    ];
    for call in ABSENT {
        let rule = LinuxSyscallBuilder::default().names([call.name().to_owned()]);
        rules.push(rule.action(LinuxSeccompAction::ScmpActErrno).errno_ret(ENOSYS).build()?);
    }
    for family in SOCKET_FAMILIES {
        rules.push(allow(SOCKET_CALLS.map(|call| call.name()), Some(arg(ScmpCmpEq, family)))?);
    }
    for value in PERSONALITIES {
        rules.push(allow(["personality"], Some(arg(ScmpCmpEq, value)))?);
    }
    rules.push(allow(["setns"], Some(arg(ScmpCmpEq, USER_NAMESPACE).index(1_usize)))?);
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(EPERM)
        .syscalls(rules)
        .build()
}

/// A rule that allows these system calls, if their first argument matches.
fn allow<'a>(
    names: impl IntoIterator<Item = &'a str>,
    arg: Option<LinuxSeccompArgBuilder>,
) -> Result<LinuxSyscall, OciSpecError> {
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let rule = LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow);
    match arg {
        Some(arg) => rule.args([arg.build()?]).build(),
        None => rule.build(),
    }
}

/// Compares the first argument of a system call with `value`.
fn arg(op: LinuxSeccompOperator, value: u64) -> LinuxSeccompArgBuilder {
    LinuxSeccompArgBuilder::default().index(0_usize).value(value).op(op)
}

/// Installs the filter in this process. It can't be removed, and all children inherit it.
///
/// # Errors
/// The kernel has no seccomp, or the filter compiler doesn't support this architecture.
pub(crate) fn confine() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // A filter has one action for all of its matches, so each error number needs a filter of its own.
    // The kernel applies the strictest result of all.
    for filter in [absent_filter()?, socket_filter()?, allow_filter()?] {
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program)?;
    }
    Ok(())
}

/// The numbers of [`ABSENT`], and of system calls that this program does not know.
fn absent() -> impl Iterator<Item = i64> {
    let newer = i64::from(Sysno::last().id()) + 1..=NEWEST;
    ABSENT.into_iter().map(|call| i64::from(call.id())).chain(newer)
}

/// Answers the calls in [`ABSENT`], and those that this program does not know, with ENOSYS.
fn absent_filter() -> Result<SeccompFilter, seccompiler::BackendError> {
    let rules = absent().map(|number| (number, Vec::new())).collect();
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(ENOSYS), arch)
}

/// Answers a request for a socket of another family with EAFNOSUPPORT, as a kernel without that family
/// does.
fn socket_filter() -> Result<SeccompFilter, seccompiler::BackendError> {
    let others = SOCKET_FAMILIES.map(|family| condition(SeccompCmpOp::Ne, family));
    let others = others.into_iter().collect::<Result<Vec<_>, _>>()?;
    let rule = SeccompRule::new(others)?;
    let rules = SOCKET_CALLS.map(|call| (i64::from(call.id()), vec![rule.clone()]));
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules.into(), SeccompAction::Allow, SeccompAction::Errno(EAFNOSUPPORT), arch)
}

/// Answers every system call that is not in the table with EPERM.
fn allow_filter() -> Result<SeccompFilter, seccompiler::BackendError> {
    // Skips names of system calls that this architecture doesn't have.
    let known = allowed().filter_map(|name| name.parse::<Sysno>().ok()).chain(SOCKET_CALLS);
    let numbers = known.map(|call| i64::from(call.id()));
    // The other filters decide about these; of two errors the kernel takes that of the latest filter.
    let numbers = numbers.chain(absent());
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        numbers.map(|number| (number, Vec::new())).collect();
    let no_namespaces = SeccompCmpOp::MaskedEq(NEW_NAMESPACES);
    rules.insert(Sysno::clone.id().into(), vec![first_arg(no_namespaces, 0)?]);
    let personalities = PERSONALITIES.map(|value| first_arg(SeccompCmpOp::Eq, value));
    let personalities = personalities.into_iter().collect::<Result<_, _>>()?;
    rules.insert(Sysno::personality.id().into(), personalities);
    let user_namespace =
        SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, USER_NAMESPACE)?;
    rules.insert(Sysno::setns.id().into(), vec![SeccompRule::new(vec![user_namespace])?]);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Errno(EPERM), SeccompAction::Allow, arch)
}

fn first_arg(op: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition(op, value)?])
}

/// Compares the first argument of a system call with `value`.
fn condition(op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(0, SeccompCmpArgLen::Dword, op, value)
}

#[cfg(test)]
mod tests;
