//! Builds the ports of a function from its environment variables.

use std::{collections::HashMap, sync::Arc};

use adapters::clock::{MonotonicIds, SystemClock};
use adapters::shell::RunnerShell;
use adapters::webhooks::HttpWebhooks;
use aws_sdk_dynamodb::Client;
use aws_types::SdkConfig;
use domain::{
    message::Lane,
    ports::{Clock, Compute, Ids, Queue, Shell, Webhooks, Workflow},
};
use handlers::{
    Env,
    permissions::{Function, Permission, Scoped, Trigger, log_refusal},
};

use crate::{
    bus::EventBus,
    changes::DynamoChanges,
    compute::{EcsCompute, LaunchConfig},
    queue::{SqsQueue, SqsRedelivery},
    sdk,
    shell::ExecDial,
    store::DynamoStore,
    variable::{VariableError, Variables},
    workflow::SfnWorkflow,
};

mod policy;

/// The name of the only image of a deployment.
const IMAGE: &str = "default";

/// The ports that this function may use. Opens no connection.
pub fn open(function: &'static Function, variables: &Variables) -> Result<Env, VariableError> {
    let builder = PortBuilder { function, config: sdk::config(variables)?, variables };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn Ids> = Arc::new(MonotonicIds::default());
    let policy = policy::read(variables)?;
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
        store: Arc::new(DynamoStore::new(records, table)),
        clock,
        ids,
        policy: Arc::new(policy),
        worker: worker.into(),
        // A function would have to carry all bytes, and stops after 29 s.
        files: None,
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
            subnets: subnets.split(',').map(|subnet| subnet.trim().to_owned()).collect(),
            security_groups,
            assign_public_ip: policy::assign_public_ip(self.variables)?,
        })
    }

    fn shell(
        &self,
        tasks: Option<&Arc<EcsCompute>>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Arc<dyn Shell>>, VariableError> {
        let Some(tasks) = tasks.filter(|_| self.function.may(Permission::Shell)) else {
            return Ok(None);
        };
        let cluster = self.text("EPHEMERAL_CLUSTER")?;
        let mut dial = ExecDial::new(&self.config, cluster, tasks.clone());
        if let Some(version) = self.variables.optional("EPHEMERAL_SSM_CLIENT_VERSION") {
            dial = dial.reporting(version);
        }
        Ok(Some(Arc::new(RunnerShell::new(dial, clock.clone()))))
    }
}

#[cfg(test)]
mod tests;
