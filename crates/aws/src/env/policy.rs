//! The policy of a deployment.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use domain::{
    cost::{Architecture, Pricing},
    size::{Network, Size},
    warm,
};
use handlers::{MaxSize, Policy};

use super::IMAGE;
use crate::variable::{VariableError, Variables};

/// How long the invocation that starts a command follows it; most commands are shorter.
const WORKER_HOLD: Duration = Duration::from_secs(10);
/// How long a later invocation waits for output that does not come.
const WORKER_VISIT: Duration = Duration::from_millis(300);
/// The shortest and the longest delay until the next invocation. In between a running command costs nothing
/// but its task.
const HAND_ON_DELAY: Duration = Duration::from_secs(2);
const HAND_ON_DELAY_MAX: Duration = Duration::from_secs(30);
/// How long output is gathered: each write of it is a transaction, and no response is streamed.
const GATHER_TIME: Duration = Duration::from_secs(1);
/// How often the sweep checks the task of a ready session, in case its event was lost.
const READY_RECHECK: Duration = Duration::from_mins(10);
/// The largest disk that can be requested where tasks share the disk of an instance. ECS gives a task there no
/// quota, so that this much is free only while the other tasks of the instance leave it.
const INSTANCE_DISK_MIB: u32 = 20 * 1024;

/// What tasks run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capacity {
    Fargate,
    Ec2,
}

pub(super) fn read(variables: &Variables) -> Result<Policy, VariableError> {
    let ttl = |name, default: Duration| {
        let longest = Policy::MAX_TTL.as_secs();
        variables.in_range(name, 1..=longest, default.as_secs()).map(Duration::from_secs)
    };
    let max_ttl = ttl("EPHEMERAL_MAX_TTL_SECONDS", Policy::MAX_TTL)?;
    let default_ttl = ttl("EPHEMERAL_DEFAULT_TTL_SECONDS", Policy::DEFAULT_TTL)?;
    let days: u32 = variables.in_range("EPHEMERAL_RETENTION_DAYS", 1..=3650, 7)?;
    let refused_networks = refused_networks(&security_groups(variables));
    let network = if refused_networks.contains_key(&Network::Egress) {
        Network::None
    } else {
        Network::Egress
    };
    let kind = warm::Kind { image: IMAGE.to_owned(), size: Size::DEFAULT, network };
    let max_lifetime: Option<u64> = variables.optional_parsed("EPHEMERAL_MAX_LIFETIME_SECONDS")?;
    let refused_exec = (!variables.parsed(super::TERMINALS, true)?)
        .then(|| "this deployment was made without ECS Exec (setting terminals)".to_owned());
    Ok(Policy {
        max_active_sessions: variables.parsed("EPHEMERAL_MAX_ACTIVE_SESSIONS", 5)?,
        starts_per_minute: NonZeroU32::new(variables.in_range(
            "EPHEMERAL_STARTS_PER_MINUTE",
            0..=60_000,
            Policy::STARTS_PER_MINUTE.get(),
        )?),
        // The table grows without a limit, and the lanes are queues that share nothing with each other. The
        // unfinished commands of a session are one item, which has a largest size.
        storage: None,
        queue: Some(Policy::QUEUE),
        running: None,
        claims_by_message: true,
        posts_commands: variables.optional(super::LINK_ENDPOINT).is_some(),
        default_ttl: default_ttl.min(max_ttl),
        max_ttl,
        // As on one machine: a request that names no network never gets one by accident.
        default_network: Network::None,
        refused_networks,
        refused_root: Some("tasks of ECS have no user namespace for them".to_owned()),
        refused_start_files: refused_exec.clone(),
        refused_terminals: refused_exec,
        max_size: max_size(variables)?,
        max_lifetime: max_lifetime.map(Duration::from_secs),
        images: vec![IMAGE.to_owned()],
        webhook_allow_private: variables.parsed("EPHEMERAL_WEBHOOK_ALLOW_PRIVATE", false)?,
        // API Gateway returns a response only when it is complete.
        streaming: false,
        retention: Duration::from_hours(24) * days,
        // Removing each of them would be billed like writing it.
        jobs_expire: true,
        gather_time: GATHER_TIME,
        worker_hold: WORKER_HOLD,
        worker_visit: WORKER_VISIT,
        hand_on_delay: HAND_ON_DELAY,
        hand_on_delay_max: HAND_ON_DELAY_MAX,
        placed_within: placed_within(variables)?,
        ready_recheck: READY_RECHECK,
        warm: vec![(kind, variables.parsed("EPHEMERAL_WARM", 0)?)],
        pricing: pricing(variables)?,
        ..Policy::default()
    })
}

/// What tasks run on.
pub(super) fn capacity(variables: &Variables) -> Result<Capacity, VariableError> {
    let name = "EPHEMERAL_CAPACITY";
    match variables.optional(name) {
        None | Some("fargate") => Ok(Capacity::Fargate),
        Some("ec2") => Ok(Capacity::Ec2),
        Some(_) => Err(VariableError::invalid(name)),
    }
}

/// The prices of a task. An instance costs the same whatever runs on it, so that tasks on instances have none.
fn pricing(variables: &Variables) -> Result<Option<Pricing>, VariableError> {
    let pricing = Pricing {
        architecture: architecture(variables)?,
        public_address: assign_public_ip(variables)?,
    };
    Ok((capacity(variables)? == Capacity::Fargate).then_some(pricing))
}

fn placed_within(variables: &Variables) -> Result<Duration, VariableError> {
    let default = Policy::default().placed_within.as_secs();
    let name = "EPHEMERAL_PLACED_WITHIN_SECONDS";
    variables.in_range(name, 1..=default, default).map(Duration::from_secs)
}

/// The available networks, each with its security group.
pub(super) fn security_groups(variables: &Variables) -> BTreeMap<Network, String> {
    let names = [
        (Network::Egress, "EPHEMERAL_SECURITY_GROUP_EGRESS"),
        (Network::None, "EPHEMERAL_SECURITY_GROUP_NONE"),
    ];
    names
        .into_iter()
        .filter_map(|(network, name)| Some((network, variables.optional(name)?.to_owned())))
        .collect()
}

/// Whether tasks get a public address, which tasks in a public subnet need to reach anything.
pub(super) fn assign_public_ip(variables: &Variables) -> Result<bool, VariableError> {
    variables.parsed("EPHEMERAL_ASSIGN_PUBLIC_IP", false)
}

/// The networks that are not available, with the reason.
fn refused_networks(groups: &BTreeMap<Network, String>) -> BTreeMap<Network, String> {
    let reasons = [
        (Network::Egress, "tasks of this deployment have no route to the internet"),
        (Network::None, "tasks of this deployment reach AWS over the internet; request `egress`"),
    ];
    let refused = reasons.into_iter().filter(|(network, _)| !groups.contains_key(network));
    refused.map(|(network, reason)| (network, reason.to_owned())).collect()
}

/// The largest session that may be requested.
fn max_size(variables: &Variables) -> Result<MaxSize, VariableError> {
    let all = MaxSize::default();
    let disk_mib = match capacity(variables)? {
        Capacity::Fargate => all.disk_mib,
        Capacity::Ec2 => INSTANCE_DISK_MIB,
    };
    Ok(MaxSize {
        disk_mib,
        cpu: variables.parsed("EPHEMERAL_MAX_CPU", all.cpu)?,
        memory_mib: variables.parsed("EPHEMERAL_MAX_MEMORY_MIB", all.memory_mib)?,
        ..all
    })
}

fn architecture(variables: &Variables) -> Result<Architecture, VariableError> {
    let name = "EPHEMERAL_ARCHITECTURE";
    match variables.optional(name) {
        None | Some("arm64") => Ok(Architecture::Arm64),
        Some("x86_64") => Ok(Architecture::X86_64),
        Some(_) => Err(VariableError::invalid(name)),
    }
}
