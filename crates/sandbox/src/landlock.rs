//! Defence in depth besides capabilities and the system call filter: one Landlock domain for each shell, which
//! holds for PID 1, all commands and all that they start: see landlock(7).
//!
//! It handles only what no process of a shell has a reason to do, so that it needs no list of what is allowed:
//! device files can't be created, devices can be controlled only below `/dev`, and signals and abstract sockets
//! of processes outside do not exist. A domain that handles files also refuses every change of mounts, whatever
//! the capabilities. All processes of a shell have the same domain, so that a debugger reaches other jobs.

use landlock::{
    AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, RestrictSelfAttr, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

/// Whether this kernel has Landlock in a version that [`confine`] uses.
pub(crate) fn is_supported() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::Refer).is_ok()
}

/// Puts this thread and its future children into the domain, which can't be left. To be called when the mounts
/// of the shell are made. Returns false and does nothing if the kernel has no Landlock, or only its first
/// version, in which no file can be renamed into another directory (Linux 5.13 to 5.18).
///
/// # Errors
/// The kernel has Landlock, but refuses the domain.
pub(crate) fn confine() -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let status = Ruleset::default()
        // Without this right nothing of the ruleset is used.
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .add_rule(PathBeneath::new(PathFd::new("/")?, AccessFs::Refer))?
        .add_rule(PathBeneath::new(PathFd::new("/dev")?, AccessFs::IoctlDev))?
        // Commands may make domains of their own, and could fill the host's audit log with their refusals.
        .log_subdomains(false)?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

#[cfg(test)]
mod tests;
