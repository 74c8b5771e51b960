//! Runs tasks.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_ecs::{
    Client,
    operation::run_task::builders::RunTaskFluentBuilder,
    types::{
        AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride,
        EphemeralStorage, KeyValuePair, NetworkConfiguration, PlacementConstraint,
        PlacementConstraintType, PlacementStrategy, PlacementStrategyType, Tag, TaskOverride,
    },
};
use domain::{
    TaskId,
    ports::{BackendError, RunError, RunTask},
    size::{Network, Size},
};
use parking_lot::Mutex;
use runner::protocol::LIFETIME_VARIABLE;

use crate::link::LinkLaunch;

use super::{
    CONTAINER,
    launch_result::{self, LaunchResult},
    placement::{Placement, Providers},
};

/// The longest time from the start of a runner until its session is ready. A session's time to live
/// counts from then.
const START_TIMEOUT: Duration = Duration::from_mins(5);

/// The settings that all tasks of this deployment share.
#[derive(Debug, Clone)]
pub struct LaunchConfig {
    /// The name of the only image.
    pub image: String,
    /// The task definition of the image: an ARN, or a family, which stands for its latest revision.
    pub task_definition: String,
    /// The capacity on which tasks run.
    pub providers: Providers,
    /// The subnets in which tasks may run, one per availability zone.
    pub subnets: Vec<String>,
    /// The security group of each network. A network without one is not available.
    pub security_groups: BTreeMap<Network, String>,
    /// Whether tasks need a public address to reach AWS.
    pub assign_public_ip: bool,
    /// The connection that runners open; none where they are reached by ECS Exec.
    pub link: Option<LinkLaunch>,
}

/// The subnets whose availability zone does not run tasks of this deployment, with ECS's message.
pub(super) type UnsupportedSubnets = Mutex<BTreeMap<String, String>>;

impl LaunchConfig {
    /// Tries one placement after the other. A repeated call with the same token tries the same
    /// placements and returns the same task, because ECS repeats a refusal for the same token.
    ///
    /// Subnets in `unsupported` are left out, and subnets that ECS refuses for their zone are added.
    pub(super) async fn run(
        &self,
        client: &Client,
        cluster: &str,
        task: &RunTask,
        unsupported: &UnsupportedSubnets,
    ) -> Result<TaskId, RunError> {
        let group = self.group(task)?;
        let mut no_capacity = None;
        let mut exhausted = None;
        for placement in self.providers.placements(&self.subnets, task.spot, &task.client_token) {
            let is_exhausted = exhausted == Some(placement.capacity);
            if is_exhausted || is_unsupported(&placement, unsupported) {
                continue;
            }
            match self.try_placement(client, cluster, task, group, &placement).await {
                LaunchResult::Started(id) => return Ok(id),
                LaunchResult::NoCapacity(cause) => {
                    tracing::info!(
                        started_by = task.started_by,
                        capacity = placement.provider,
                        subnets = ?placement.subnets,
                        cause,
                        "no capacity for a task at this placement"
                    );
                    no_capacity = Some(cause);
                }
                LaunchResult::QuotaReached(cause) => {
                    tracing::warn!(
                        started_by = task.started_by,
                        capacity = placement.provider,
                        cause,
                        "the account's quota is used up; request an increase (docs/operations.md)"
                    );
                    exhausted = Some(placement.capacity);
                    no_capacity = Some(cause);
                }
                LaunchResult::ZoneUnsupported(cause) => {
                    tracing::warn!(
                        subnets = ?placement.subnets,
                        cause,
                        "the subnet's availability zone runs no tasks; it is left out from now on"
                    );
                    let mut unsupported = unsupported.lock();
                    for subnet in placement.subnets {
                        unsupported.insert(subnet.clone(), cause.clone());
                    }
                }
                LaunchResult::Failed(error) => return Err(error),
            }
        }
        Err(no_capacity.map_or_else(|| self.no_usable_subnet(unsupported), RunError::Capacity))
    }

    /// The error for a task whose placements are all in unsupported zones.
    fn no_usable_subnet(&self, unsupported: &UnsupportedSubnets) -> RunError {
        let unsupported = unsupported.lock();
        let cause = self.subnets.iter().find_map(|subnet| unsupported.get(subnet));
        RunError::Refused(cause.cloned().unwrap_or_else(|| "no subnets are configured".to_owned()))
    }

    fn group(&self, task: &RunTask) -> Result<&str, RunError> {
        if task.image != self.image {
            return Err(RunError::Refused(format!("image {} does not exist", task.image)));
        }
        self.security_groups
            .get(&task.network)
            .map(String::as_str)
            .ok_or_else(|| RunError::Refused("this network is not available".to_owned()))
    }

    async fn try_placement(
        &self,
        client: &Client,
        cluster: &str,
        task: &RunTask,
        group: &str,
        placement: &Placement<'_>,
    ) -> LaunchResult {
        let request = match self.request(client, task, group, placement).await {
            Ok(request) => request.cluster(cluster),
            Err(error) => return LaunchResult::Failed(error.into()),
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return launch_result::from_error(error),
        };
        if let Some(arn) = response.tasks().first().and_then(|task| task.task_arn()) {
            return LaunchResult::Started(TaskId::new(arn));
        }
        match response.failures().first() {
            Some(failure) => launch_result::from_failure(failure),
            None => LaunchResult::Failed(
                BackendError::new("running a task", "ECS returned neither a task nor a failure")
                    .into(),
            ),
        }
    }

    async fn request(
        &self,
        client: &Client,
        task: &RunTask,
        group: &str,
        placement: &Placement<'_>,
    ) -> Result<RunTaskFluentBuilder, BackendError> {
        let (provider, network) = self.provider_and_network(group, placement)?;
        let overrides = TaskOverride::builder()
            .cpu(task.size.cpu().to_string())
            .memory(task.size.memory_mib().to_string())
            .set_ephemeral_storage(self.storage(task.size))
            .container_overrides(self.container(task, placement).await?)
            .build();
        let request = client
            .run_task()
            .task_definition(&self.task_definition)
            .count(1)
            .started_by(&task.started_by)
            .client_token(&placement.token)
            .capacity_provider_strategy(provider)
            .network_configuration(network)
            .overrides(overrides)
            .enable_execute_command(self.link.as_ref().is_none_or(|link| link.terminals))
            // Cost reports can group by this tag.
            .tags(Tag::builder().key("ephemeral").value("1").build());
        Ok(self.on_instances(request))
    }

    /// Chooses among instances: one without a task, or the one with the least free memory, so that others become
    /// empty and the group can shrink.
    fn on_instances(&self, request: RunTaskFluentBuilder) -> RunTaskFluentBuilder {
        let Providers::Instances(instances) = &self.providers else { return request };
        if instances.one_task_each {
            let distinct = PlacementConstraintType::DistinctInstance;
            return request
                .placement_constraints(PlacementConstraint::builder().r#type(distinct).build());
        }
        let fullest = PlacementStrategy::builder()
            .r#type(PlacementStrategyType::Binpack)
            .field("memory")
            .build();
        request.placement_strategy(fullest)
    }

    /// The disk of a task that needs more than the 20 GiB that every task has; at most 200 GiB
    /// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EphemeralStorage.html>). Tasks on instances
    /// share the disk of their instance.
    fn storage(&self, size: Size) -> Option<EphemeralStorage> {
        const FREE_GIB: u32 = 20;
        let gib = size.disk_mib().div_ceil(1024);
        let gib = i32::try_from(gib).ok().filter(|_| gib > FREE_GIB)?;
        let is_fargate = self.providers == Providers::Fargate;
        is_fargate.then(|| EphemeralStorage::builder().size_in_gib(gib).build())
    }

    /// Tells the runner when to end by itself, and where to connect to.
    async fn container(
        &self,
        task: &RunTask,
        placement: &Placement<'_>,
    ) -> Result<ContainerOverride, BackendError> {
        let seconds = (task.lifetime + START_TIMEOUT).as_secs();
        let mut container = ContainerOverride::builder()
            .name(CONTAINER)
            .environment(variable(LIFETIME_VARIABLE, seconds.to_string()));
        if let Some(link) = &self.link {
            for (name, value) in link.variables(&task.started_by, &placement.token).await? {
                container = container.environment(variable(name, value));
            }
        }
        Ok(container.build())
    }

    fn provider_and_network(
        &self,
        group: &str,
        placement: &Placement<'_>,
    ) -> Result<(CapacityProviderStrategyItem, NetworkConfiguration), BackendError> {
        let invalid = |error| BackendError::new("building a RunTask request", error);
        // The API's default weight is 0, which places no task.
        let provider = CapacityProviderStrategyItem::builder()
            .capacity_provider(placement.provider)
            .weight(1)
            .build()
            .map_err(invalid)?;
        let public_ip =
            if self.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
        let vpc = AwsVpcConfiguration::builder()
            .set_subnets(Some(placement.subnets.to_vec()))
            .security_groups(group)
            .assign_public_ip(public_ip)
            .build()
            .map_err(invalid)?;
        Ok((provider, NetworkConfiguration::builder().awsvpc_configuration(vpc).build()))
    }
}

/// Whether a subnet's availability zone is known not to run tasks.
fn is_unsupported(placement: &Placement<'_>, unsupported: &UnsupportedSubnets) -> bool {
    let unsupported = unsupported.lock();
    placement.subnets.iter().any(|subnet| unsupported.contains_key(subnet))
}

fn variable(name: &str, value: impl Into<String>) -> KeyValuePair {
    KeyValuePair::builder().name(name).value(value).build()
}
