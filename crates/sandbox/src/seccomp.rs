//! The system calls that a sandbox may make: what Docker and containerd allow a container without
//! privileges, less `io_uring`, as they have it since 2023.
//!
//! The same table makes the OCI form, for a runtime that reads it, and the filter that the built-in
//! runtime installs by itself.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use serde_json::{Value, json};
use syscalls::Sysno;

/// One name a line; arranged by first letter.
const ALLOWED: &str = include_str!("seccomp/allowed.txt");

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// `CLONE_NEW*` of clone(2): cgroup, uts, ipc, user, pid, net, mount.
const NEW_NAMESPACES: u64 = 0x7E02_0000;
/// `AF_VSOCK`: would reach the hypervisor.
const VSOCK: u64 = 40;
/// `PER_LINUX`, `PER_LINUX32`, with and without `UNAME26`, and the query.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

fn allowed() -> impl Iterator<Item = &'static str> {
    ALLOWED.split_ascii_whitespace()
}

/// `linux.seccomp` of an OCI configuration.
pub(crate) fn oci() -> Value {
    let arg = |value: u64, op: &str| json!([{ "index": 0, "value": value, "op": op }]);
    let allow = |name: &str, args: Value| json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args });
    let mut rules = vec![
        json!({ "names": allowed().collect::<Vec<_>>(), "action": "SCMP_ACT_ALLOW" }),
        json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }),
        json!({ "names": ["clone"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] }),
        allow("socket", arg(VSOCK, "SCMP_CMP_NE")),
    ];
    rules.extend(PERSONALITIES.map(|value| allow("personality", arg(value, "SCMP_CMP_EQ"))));
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": EPERM, "syscalls": rules })
}

/// Refuses what the table does not allow, for good and for all that this process will start.
///
/// # Errors
/// In words: a kernel without seccomp, or an architecture that the filter compiler doesn't know.
pub(crate) fn confine() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Two filters, of which the stricter answer counts: one filter has one answer for a match.
    for filter in [missing()?, permitted()?] {
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program)?;
    }
    Ok(())
}

/// clone3 hides its flags behind a pointer; to say that it is missing makes libc use clone.
fn missing() -> Result<SeccompFilter, seccompiler::BackendError> {
    let rules = BTreeMap::from([(i64::from(Sysno::clone3.id()), Vec::new())]);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(ENOSYS), arch)
}

fn permitted() -> Result<SeccompFilter, seccompiler::BackendError> {
    // A name that this architecture doesn't have needs no permission.
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
