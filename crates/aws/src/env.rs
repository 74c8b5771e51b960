//! Builds the ports of a function from its environment variables.

use std::{collections::HashMap, sync::Arc};

use adapters::clock::{MonotonicIds, SystemClock};
use adapters::shell::RunnerShell;
use adapters::webhooks::HttpWebhooks;
use aws_sdk_dynamodb::Client;
use aws_types::SdkConfig;
use domain::{
    message::Lane,
    ports::{Clock, Compute, Ids, Queue, Shell, Transfers, Webhooks, Workflow},
};
use handlers::{
    Env,
    permissions::{Function, Permission, Scoped, Trigger, log_refusal},
};

use crate::{
    bus::EventBus,
    changes::DynamoChanges,
    compute::{EcsCompute, Instances, LaunchConfig, Providers},
    lambda::Link,
    link::{Connections, LinkLaunch, LinkShell, TokenKey},
    queue::{SqsQueue, SqsRedelivery},
    sdk,
    shell::ExecDial,
    store::DynamoStore,
    transfers::S3Transfers,
    variable::{VariableError, Variables},
    workflow::SfnWorkflow,
};

mod policy;

/// The name of the only image of a deployment.
const IMAGE: &str = "default";

/// The ports that this function may use. Opens no connection.
pub fn open(function: &'static Function, variables: &Variables) -> Result<Env, VariableError> {
    let builder = PortBuilder { function, config: sdk::config(variables)?, variables };
    let clock = clock();
    let ids: Arc<dyn Ids> = Arc::new(MonotonicIds::default());
    let policy = policy::read(variables)?;
    let max_sessions = variables.optional_parsed("EPHEMERAL_MAX_SESSIONS")?;
    let (records, table) = (Client::new(&builder.config), builder.text("EPHEMERAL_TABLE")?);
    let tasks = builder.tasks()?;
    let shell = builder.shell(tasks.as_ref(), &clock)?;
    let compute = tasks.map(|tasks| -> Arc<dyn Compute> { tasks });
    let webhooks = function.may(Permission::Webhooks).then(|| -> Arc<dyn Webhooks> {
        Arc::new(HttpWebhooks::new(policy.webhook_allow_private))
    });
    let worker = format!("lambda-{}", ids.ulid());
    Ok(Env {
        queue: Arc::new(Scoped::new(function, builder.queue()?, log_refusal)),
        workflow: Arc::new(Scoped::new(function, builder.workflow()?, log_refusal)),
        compute: Arc::new(Scoped::new(function, compute, log_refusal)),
        shell: Arc::new(Scoped::new(function, shell, log_refusal)),
        webhooks: Arc::new(Scoped::new(function, webhooks, log_refusal)),
        changes: Arc::new(DynamoChanges::new(records.clone(), table.clone(), clock.clone())),
        store: Arc::new(DynamoStore::new(records, table).with_max_sessions(max_sessions)),
        clock,
        ids,
        policy: Arc::new(policy),
        worker: worker.into(),
        // A function would have to carry all bytes, and stops after 29 s: see `transfers`.
        files: None,
        transfers: builder.transfers()?.map(|transfers| -> Arc<dyn Transfers> {
            Arc::new(Scoped::new(function, Some(transfers), log_refusal))
        }),
        // Archives are compressed by shells, which know gzip.
        zstd: None,
        processes: None,
        claims: None,
    })
}

/// The bus to which this function publishes events. Opens no connection.
pub fn bus(variables: &Variables) -> Result<EventBus, VariableError> {
    let name = variables.required("EPHEMERAL_BUS")?.to_owned();
    Ok(EventBus::new(&sdk::config(variables)?, name))
}

/// The redelivery of the queue that calls this function, if a queue does.
pub fn redelivery(
    function: &'static Function,
    variables: &Variables,
) -> Result<Option<SqsRedelivery>, VariableError> {
    let Trigger::Queue { lane, .. } = function.trigger else { return Ok(None) };
    let url = variables.required(&queue_variable(lane))?.to_owned();
    Ok(Some(SqsRedelivery::new(&sdk::config(variables)?, url)))
}

/// What the function behind the connections of runners needs; none for every other function.
pub fn link(
    function: &'static Function,
    variables: &Variables,
) -> Result<Option<Link>, VariableError> {
    if function.trigger != Trigger::Link {
        return Ok(None);
    }
    let builder = PortBuilder { function, config: sdk::config(variables)?, variables };
    let connections = builder.connections(&builder.text(LINK_ENDPOINT)?, &clock())?;
    Ok(Some(Link { connections, key: builder.token_key()? }))
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The variable with the URL at which the connections of runners are managed. Where it is not set, runners are
/// reached by ECS Exec.
const LINK_ENDPOINT: &str = "EPHEMERAL_LINK_ENDPOINT";
/// The variable with the URL to which runners connect.
const LINK_URL: &str = "EPHEMERAL_LINK_URL";
/// The variables with the name and the URL of the bucket through which files go.
const FILES_BUCKET: &str = "EPHEMERAL_FILES_BUCKET";
const FILES_URL: &str = "EPHEMERAL_FILES_URL";
/// Whether tasks have ECS Exec for terminals where runners connect by themselves.
pub(crate) const TERMINALS: &str = "EPHEMERAL_TERMINALS";

/// The variable with the URL of the queue of a lane.
fn queue_variable(lane: Lane) -> String {
    format!("EPHEMERAL_QUEUE_{}", lane.name().replace('-', "_").to_uppercase())
}

/// Builds ports from the variables of a function, as far as its permissions require them.
struct PortBuilder<'a> {
    function: &'static Function,
    config: SdkConfig,
    variables: &'a Variables,
}

impl PortBuilder<'_> {
    fn text(&self, name: &str) -> Result<String, VariableError> {
        self.variables.required(name).map(str::to_owned)
    }

    fn queue(&self) -> Result<Option<Arc<dyn Queue>>, VariableError> {
        let mut urls = HashMap::new();
        for lane in Lane::ALL.into_iter().filter(|lane| self.function.may(Permission::Queue(*lane)))
        {
            urls.insert(lane, self.text(&queue_variable(lane))?);
        }
        if urls.is_empty() {
            return Ok(None);
        }
        Ok(Some(Arc::new(SqsQueue::new(&self.config, urls))))
    }

    fn workflow(&self) -> Result<Option<Arc<dyn Workflow>>, VariableError> {
        let machine = if self.function.may(Permission::StartExecution) {
            Some(self.text("EPHEMERAL_STATE_MACHINE")?)
        } else if self.function.may(Permission::ResumeExecution) {
            None
        } else {
            return Ok(None);
        };
        Ok(Some(Arc::new(SfnWorkflow::new(&self.config, machine))))
    }

    fn tasks(&self) -> Result<Option<Arc<EcsCompute>>, VariableError> {
        let permissions = [Permission::RunTask, Permission::StopTask, Permission::ReadTasks];
        if !permissions.into_iter().any(|permission| self.function.may(permission)) {
            return Ok(None);
        }
        let launch =
            if self.function.may(Permission::RunTask) { Some(self.launch()?) } else { None };
        let cluster = self.text("EPHEMERAL_CLUSTER")?;
        Ok(Some(Arc::new(EcsCompute::new(&self.config, cluster, launch))))
    }

    fn launch(&self) -> Result<LaunchConfig, VariableError> {
        let security_groups = policy::security_groups(self.variables);
        if security_groups.is_empty() {
            self.variables.required("EPHEMERAL_SECURITY_GROUP_EGRESS")?;
        }
        let subnets = self.variables.required("EPHEMERAL_SUBNETS")?;
        Ok(LaunchConfig {
            image: IMAGE.to_owned(),
            task_definition: self.text("EPHEMERAL_TASK_DEFINITION")?,
            providers: self.providers()?,
            subnets: subnets.split(',').map(|subnet| subnet.trim().to_owned()).collect(),
            security_groups,
            assign_public_ip: policy::assign_public_ip(self.variables)?,
            link: self.link_launch()?,
        })
    }

    fn providers(&self) -> Result<Providers, VariableError> {
        if policy::capacity(self.variables)? == policy::Capacity::Fargate {
            return Ok(Providers::Fargate);
        }
        let one_task_each = match self.variables.optional("EPHEMERAL_ISOLATION") {
            None | Some("session") => true,
            Some("shared") => false,
            Some(_) => return Err(VariableError::invalid("EPHEMERAL_ISOLATION")),
        };
        Ok(Providers::Instances(Instances {
            on_demand: self.text("EPHEMERAL_CAPACITY_PROVIDER")?,
            spot: self.text("EPHEMERAL_CAPACITY_PROVIDER_SPOT")?,
            one_task_each,
        }))
    }

    fn link_launch(&self) -> Result<Option<LinkLaunch>, VariableError> {
        let Some(url) = self.variables.optional(LINK_URL) else { return Ok(None) };
        let terminals = self.variables.parsed(TERMINALS, false)?;
        Ok(Some(LinkLaunch { url: url.to_owned(), key: self.token_key()?, terminals }))
    }

    fn token_key(&self) -> Result<TokenKey, VariableError> {
        Ok(TokenKey::new(Client::new(&self.config), self.text("EPHEMERAL_TABLE")?))
    }

    /// `AWS_ENDPOINT_URL` stands for the endpoints of all services.
    fn connections(
        &self,
        endpoint: &str,
        clock: &Arc<dyn Clock>,
    ) -> Result<Connections, VariableError> {
        let endpoint = self.variables.optional("AWS_ENDPOINT_URL").unwrap_or(endpoint);
        let table = (Client::new(&self.config), self.text("EPHEMERAL_TABLE")?);
        Ok(Connections::new(&self.config, table, endpoint, clock.clone()))
    }

    /// `AWS_ENDPOINT_URL` stands for the endpoints of all services.
    fn transfers(&self) -> Result<Option<Arc<dyn Transfers>>, VariableError> {
        if !self.function.may(Permission::Transfers) {
            return Ok(None);
        }
        let (bucket, url) = (self.text(FILES_BUCKET)?, self.text(FILES_URL)?);
        let endpoint = self.variables.optional("AWS_ENDPOINT_URL");
        let url = endpoint.map_or(url, |endpoint| format!("{endpoint}/{bucket}"));
        Ok(Some(Arc::new(S3Transfers::new(&self.config, url))))
    }

    fn shell(
        &self,
        tasks: Option<&Arc<EcsCompute>>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Arc<dyn Shell>>, VariableError> {
        if self.function.may(Permission::PostCommands) {
            let Some(endpoint) = self.variables.optional(LINK_ENDPOINT) else { return Ok(None) };
            let connections = self.connections(endpoint, clock)?;
            return Ok(Some(Arc::new(LinkShell::new(connections, None, clock.clone()))));
        }
        let Some(tasks) = tasks.filter(|_| self.function.may(Permission::Shell)) else {
            return Ok(None);
        };
        if let Some(endpoint) = self.variables.optional(LINK_ENDPOINT) {
            let terminals = self.variables.parsed(TERMINALS, false)?;
            let terminals = terminals.then(|| self.exec(tasks, clock)).transpose()?;
            let connections = self.connections(endpoint, clock)?;
            return Ok(Some(Arc::new(LinkShell::new(connections, terminals, clock.clone()))));
        }
        Ok(Some(Arc::new(self.exec(tasks, clock)?)))
    }

    fn exec(
        &self,
        tasks: &Arc<EcsCompute>,
        clock: &Arc<dyn Clock>,
    ) -> Result<RunnerShell<ExecDial>, VariableError> {
        let cluster = self.text("EPHEMERAL_CLUSTER")?;
        let mut dial = ExecDial::new(&self.config, cluster, tasks.clone());
        if let Some(version) = self.variables.optional("EPHEMERAL_SSM_CLIENT_VERSION") {
            dial = dial.reporting(version);
        }
        Ok(RunnerShell::new(dial, clock.clone()))
    }
}

#[cfg(test)]
mod tests;
