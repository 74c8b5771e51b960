//! Having a task run.

use std::collections::BTreeMap;

use aws_sdk_ecs::{
    Client,
    types::{
        AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, NetworkConfiguration,
        Tag, TaskOverride,
    },
};
use domain::{
    TaskId,
    ports::{BackendError, RunError, RunTask},
    size::Network,
};

use super::{
    choice::{Choice, choices},
    refusal::{self, Verdict},
};

/// What tasks of this deployment are made of.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The one image's name.
    pub image: String,
    /// Its task definition: an ARN, or a family, which stands for its newest revision.
    pub task_definition: String,
    /// Where tasks may be; one subnet a zone.
    pub subnets: Vec<String>,
    /// What keeps tasks of each network apart from the rest. A network without one can't be had.
    pub security_groups: BTreeMap<Network, String>,
    /// Whether tasks need an address of their own to reach AWS.
    pub assign_public_ip: bool,
}

impl Launch {
    /// Asks at one place after the other. Asked again with the same token, it goes the same way and
    /// comes to the same task: a refused request stays refused under its token.
    pub(super) async fn run(
        &self,
        client: &Client,
        cluster: &str,
        task: &RunTask,
    ) -> Result<TaskId, RunError> {
        let group = self.group(task)?;
        let mut refused = "there is no subnet".to_owned();
        for choice in choices(&self.subnets, task.spot, &task.client_token) {
            match self.ask(client, cluster, task, group, &choice).await {
                Verdict::Runs(id) => return Ok(id),
                Verdict::NoRoom(cause) => {
                    tracing::info!(
                        capacity = choice.capacity.provider(),
                        subnet = choice.subnet,
                        cause,
                        "no room for a task"
                    );
                    refused = cause;
                }
                Verdict::Failed(error) => return Err(error),
            }
        }
        Err(RunError::Capacity(refused))
    }

    fn group(&self, task: &RunTask) -> Result<&str, RunError> {
        if task.image != self.image {
            return Err(RunError::Refused(format!("there is no image {}", task.image)));
        }
        self.security_groups
            .get(&task.network)
            .map(String::as_str)
            .ok_or_else(|| RunError::Refused("this network can't be had".to_owned()))
    }

    async fn ask(
        &self,
        client: &Client,
        cluster: &str,
        task: &RunTask,
        group: &str,
        choice: &Choice<'_>,
    ) -> Verdict {
        let (provider, network) = match self.place(group, choice) {
            Ok(place) => place,
            Err(error) => return Verdict::Failed(error.into()),
        };
        let size = TaskOverride::builder()
            .cpu(task.size.cpu().to_string())
            .memory(task.size.memory_mib().to_string())
            .build();
        let asked = client
            .run_task()
            .cluster(cluster)
            .task_definition(&self.task_definition)
            .count(1)
            .started_by(&task.started_by)
            .client_token(&choice.token)
            .capacity_provider_strategy(provider)
            .network_configuration(network)
            .overrides(size)
            .enable_execute_command(true)
            // By which the bill can tell shells apart.
            .tags(Tag::builder().key("ephemeral").value("1").build())
            .send()
            .await;
        let told = match asked {
            Ok(told) => told,
            Err(error) => return refusal::of_error(error),
        };
        if let Some(arn) = told.tasks().first().and_then(|task| task.task_arn()) {
            return Verdict::Runs(TaskId::new(arn));
        }
        match told.failures().first() {
            Some(failure) => refusal::of_failure(failure),
            None => Verdict::Failed(
                BackendError::new("running a task", "neither a task nor a failure").into(),
            ),
        }
    }

    fn place(
        &self,
        group: &str,
        choice: &Choice<'_>,
    ) -> Result<(CapacityProviderStrategyItem, NetworkConfiguration), BackendError> {
        let incomplete = |error| BackendError::new("describing a task", error);
        // The API's own default weight is 0, with which nothing is ever placed.
        let provider = CapacityProviderStrategyItem::builder()
            .capacity_provider(choice.capacity.provider())
            .weight(1)
            .build()
            .map_err(incomplete)?;
        let public_ip =
            if self.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
        let vpc = AwsVpcConfiguration::builder()
            .subnets(choice.subnet)
            .security_groups(group)
            .assign_public_ip(public_ip)
            .build()
            .map_err(incomplete)?;
        Ok((provider, NetworkConfiguration::builder().awsvpc_configuration(vpc).build()))
    }
}
