//! The system calls that a sandbox may make: those that Docker and containerd allow an unprivileged
//! container, without `io_uring`, which both have excluded since 2023.
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

/// `CLONE_NEW*` of clone(2): cgroup, uts, ipc, user, pid, net, mount.
const NEW_NAMESPACES: u64 = 0x7E02_0000;
/// `AF_VSOCK`, which connects to the hypervisor.
const VSOCK: u64 = 40;
/// Allowed arguments of personality(2): `PER_LINUX` and `PER_LINUX32`, with and without `UNAME26`, and
/// the value that only queries.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

fn allowed() -> impl Iterator<Item = &'static str> {
    ALLOWED.split_ascii_whitespace()
}

/// The profile as `linux.seccomp` of an OCI configuration.
pub(crate) fn oci() -> Result<LinuxSeccomp, OciSpecError> {
    use LinuxSeccompOperator::{ScmpCmpEq, ScmpCmpMaskedEq, ScmpCmpNe};
    let mut rules = vec![
        allow(allowed(), None)?,
        LinuxSyscallBuilder::default()
            .names(["clone3".to_owned()])
            .action(LinuxSeccompAction::ScmpActErrno)
            .errno_ret(ENOSYS)
            .build()?,
        allow(["clone"], Some(arg(ScmpCmpMaskedEq, NEW_NAMESPACES).value_two(0_u64)))?,
        allow(["socket"], Some(arg(ScmpCmpNe, VSOCK)))?,
    ];
    for value in PERSONALITIES {
        rules.push(allow(["personality"], Some(arg(ScmpCmpEq, value)))?);
    }
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
    // A filter has one action for all of its matches, so two actions need two filters. The kernel
    // applies the stricter result of both.
    for filter in [clone3_filter()?, allow_filter()?] {
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program)?;
    }
    Ok(())
}

/// Answers clone3 with ENOSYS, which makes libc fall back to clone: the filter can't read the flags of
/// clone3, because they are behind a pointer.
fn clone3_filter() -> Result<SeccompFilter, seccompiler::BackendError> {
    let rules = BTreeMap::from([(i64::from(Sysno::clone3.id()), Vec::new())]);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(ENOSYS), arch)
}

/// Answers every system call that is not in the table with EPERM.
fn allow_filter() -> Result<SeccompFilter, seccompiler::BackendError> {
    // Skips names of system calls that this architecture doesn't have.
    let known = allowed().chain(["clone3"]).filter_map(|name| name.parse::<Sysno>().ok());
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        known.map(|call| (i64::from(call.id()), Vec::new())).collect();
    let no_namespaces = SeccompCmpOp::MaskedEq(NEW_NAMESPACES);
    rules.insert(Sysno::clone.id().into(), vec![first_arg(no_namespaces, 0)?]);
    rules.insert(Sysno::socket.id().into(), vec![first_arg(SeccompCmpOp::Ne, VSOCK)?]);
    let personalities = PERSONALITIES.map(|value| first_arg(SeccompCmpOp::Eq, value));
    let personalities = personalities.into_iter().collect::<Result<_, _>>()?;
    rules.insert(Sysno::personality.id().into(), personalities);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Errno(EPERM), SeccompAction::Allow, arch)
}

fn first_arg(op: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, op, value)?;
    SeccompRule::new(vec![condition])
}

#[cfg(test)]
mod tests;
