//! The ports and the policy of one function, from its environment.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use aws_sdk_dynamodb::Client;
use aws_types::SdkConfig;
use clock::{MonotonicIds, SystemClock};
use domain::{
    cost::{Architecture, Pricing},
    message::Lane,
    ports::{Clock, Compute, Ids, Queue, Shell, Webhooks, Workflow},
    size::{Network, Size},
    warm,
};
use handlers::{Env, Policy};
use shell::RunnerShell;
use webhooks::HttpWebhooks;

use crate::{
    changes::DynamoChanges,
    compute::{EcsCompute, Launch},
    functions::{Function, Use},
    limited::Limited,
    queue::SqsQueue,
    sdk,
    shell::ExecDial,
    store::DynamoStore,
    variable::{BadVariable, in_range, optional, parsed, required},
    workflow::SfnWorkflow,
};

/// The name of the one image that a deployment has.
const IMAGE: &str = "default";
/// How long an invocation stays with a job.
const WORKER_HOLD: Duration = Duration::from_secs(20);
/// When the next invocation looks at a job that goes on. In between it costs nothing.
const HAND_ON_DELAY: Duration = Duration::from_secs(10);
/// Age at which a warm task that nobody took is replaced.
const WARM_MAX_AGE: Duration = Duration::from_hours(1);

/// All that this function may touch. Opens nothing yet.
pub fn open(function: &'static Function) -> Result<Env, BadVariable> {
    let config = sdk::config()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn Ids> = Arc::new(MonotonicIds::default());
    let policy = policy()?;
    let (client, table) = (Client::new(&config), required("EPHEMERAL_TABLE")?);
    let tasks = tasks(function, &config)?;
    let shell = shell(function, &config, tasks.as_ref(), &clock)?;
    let compute = tasks.map(|tasks| -> Arc<dyn Compute> { tasks });
    let webhooks = function.may(Use::Webhooks).then(|| -> Arc<dyn Webhooks> {
        Arc::new(HttpWebhooks::new(policy.webhook_allow_private))
    });
    let worker = format!("lambda-{}", ids.ulid());
    Ok(Env {
        queue: Arc::new(Limited::new(function, queue(function, &config)?)),
        workflow: Arc::new(Limited::new(function, workflow(function, &config)?)),
        compute: Arc::new(Limited::new(function, compute)),
        shell: Arc::new(Limited::new(function, shell)),
        webhooks: Arc::new(Limited::new(function, webhooks)),
        changes: Arc::new(DynamoChanges::new(client.clone(), table.clone(), clock.clone())),
        store: Arc::new(DynamoStore::new(client, table)),
        clock,
        ids,
        policy: Arc::new(policy),
        worker: worker.into(),
    })
}

fn queue(function: &Function, config: &SdkConfig) -> Result<Option<Arc<dyn Queue>>, BadVariable> {
    let mut urls = HashMap::new();
    for lane in Lane::ALL.into_iter().filter(|lane| function.may(Use::Queue(*lane))) {
        let name = lane.name().replace('-', "_").to_uppercase();
        urls.insert(lane, required(&format!("EPHEMERAL_QUEUE_{name}"))?);
    }
    if urls.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(SqsQueue::new(config, urls))))
}

fn workflow(
    function: &Function,
    config: &SdkConfig,
) -> Result<Option<Arc<dyn Workflow>>, BadVariable> {
    let machine = if function.may(Use::StartExecution) {
        Some(required("EPHEMERAL_STATE_MACHINE")?)
    } else if function.may(Use::ResumeExecution) {
        None
    } else {
        return Ok(None);
    };
    Ok(Some(Arc::new(SfnWorkflow::new(config, machine))))
}

fn tasks(function: &Function, config: &SdkConfig) -> Result<Option<Arc<EcsCompute>>, BadVariable> {
    if ![Use::RunTask, Use::StopTask, Use::ReadTasks].iter().any(|right| function.may(*right)) {
        return Ok(None);
    }
    let launch = if function.may(Use::RunTask) { Some(launch()?) } else { None };
    let cluster = required("EPHEMERAL_CLUSTER")?;
    Ok(Some(Arc::new(EcsCompute::new(config, cluster, launch))))
}

fn shell(
    function: &Function,
    config: &SdkConfig,
    tasks: Option<&Arc<EcsCompute>>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<dyn Shell>>, BadVariable> {
    let Some(tasks) = tasks.filter(|_| function.may(Use::Shell)) else { return Ok(None) };
    let dial = ExecDial::new(config, required("EPHEMERAL_CLUSTER")?, tasks.clone());
    Ok(Some(Arc::new(RunnerShell::new(dial, clock.clone()))))
}

fn launch() -> Result<Launch, BadVariable> {
    let subnets = required("EPHEMERAL_SUBNETS")?;
    let security_groups = security_groups();
    if security_groups.is_empty() {
        required("EPHEMERAL_SECURITY_GROUP_EGRESS")?;
    }
    Ok(Launch {
        image: IMAGE.to_owned(),
        task_definition: required("EPHEMERAL_TASK_DEFINITION")?,
        subnets: subnets.split(',').map(|subnet| subnet.trim().to_owned()).collect(),
        security_groups,
        assign_public_ip: parsed("EPHEMERAL_ASSIGN_PUBLIC_IP", false)?,
    })
}

/// The networks that can be had, each with what keeps its tasks to it.
fn security_groups() -> BTreeMap<Network, String> {
    let variables = [
        (Network::Egress, "EPHEMERAL_SECURITY_GROUP_EGRESS"),
        (Network::None, "EPHEMERAL_SECURITY_GROUP_NONE"),
    ];
    variables.into_iter().filter_map(|(network, name)| Some((network, optional(name)?))).collect()
}

/// The others, and why.
fn refused_networks(groups: &BTreeMap<Network, String>) -> BTreeMap<Network, String> {
    let reasons = [
        (Network::Egress, "tasks of this deployment have no way to the internet"),
        (Network::None, "tasks of this deployment reach AWS over the internet"),
    ];
    let refused = reasons.into_iter().filter(|(network, _)| !groups.contains_key(network));
    refused.map(|(network, reason)| (network, reason.to_owned())).collect()
}

fn policy() -> Result<Policy, BadVariable> {
    let seconds = |name, default: Duration| {
        let longest = Policy::MAX_TTL.as_secs();
        in_range(name, 1..=longest, default.as_secs()).map(Duration::from_secs)
    };
    let max_ttl = seconds("EPHEMERAL_MAX_TTL_SECONDS", Policy::MAX_TTL)?;
    let default_ttl = seconds("EPHEMERAL_DEFAULT_TTL_SECONDS", Policy::DEFAULT_TTL)?;
    let days: u32 = in_range("EPHEMERAL_RETENTION_DAYS", 1..=3650, 7)?;
    let refused_networks = refused_networks(&security_groups());
    let default_network = if refused_networks.contains_key(&Network::Egress) {
        Network::None
    } else {
        Network::Egress
    };
    let kind =
        warm::Kind { image: IMAGE.to_owned(), size: Size::DEFAULT, network: default_network };
    Ok(Policy {
        max_active_sessions: parsed("EPHEMERAL_MAX_ACTIVE_SESSIONS", 5)?,
        default_ttl: default_ttl.min(max_ttl),
        max_ttl,
        default_network,
        refused_networks,
        images: vec![IMAGE.to_owned()],
        webhook_allow_private: parsed("EPHEMERAL_WEBHOOK_ALLOW_PRIVATE", false)?,
        // The gateway gives an answer only when all of it is there.
        streaming: false,
        retention: Duration::from_hours(24) * days,
        worker_hold: WORKER_HOLD,
        hand_on_delay: HAND_ON_DELAY,
        warm: vec![(kind, parsed("EPHEMERAL_WARM", 0)?)],
        warm_max_age: WARM_MAX_AGE,
        pricing: Some(Pricing {
            architecture: architecture()?,
            public_address: parsed("EPHEMERAL_ASSIGN_PUBLIC_IP", false)?,
        }),
    })
}

fn architecture() -> Result<Architecture, BadVariable> {
    let name = "EPHEMERAL_ARCHITECTURE";
    match optional(name).as_deref() {
        None | Some("arm64") => Ok(Architecture::Arm64),
        Some("x86_64") => Ok(Architecture::X86_64),
        Some(_) => Err(BadVariable::unreadable(name)),
    }
}

#[cfg(test)]
mod tests;
