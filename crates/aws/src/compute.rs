//! Tasks on ECS: on Fargate, or on instances of EC2.

use async_trait::async_trait;
use aws_sdk_ecs::{
    Client,
    error::ProvideErrorMetadata,
    operation::stop_task::StopTaskError,
    types::{Failure, Task},
};
use aws_types::SdkConfig;
use domain::{
    TaskId,
    ports::{BackendError, Compute, RunError, RunTask, StopError},
    task::{TaskFacts, TaskStatus},
};

mod ecs_task;
mod launch;
mod launch_result;
mod placement;
mod rate_limit;

pub use ecs_task::{CONTAINER, TaskDetail};
pub use launch::LaunchConfig;
pub use placement::{Instances, Providers};

use launch::UnsupportedSubnets;
pub(crate) use launch_result::is_throttled;
use rate_limit::RateLimit;

/// Tasks that one DescribeTasks call accepts, and that one ListTasks call returns.
const PAGE: usize = 100;
/// Longest reason that StopTask accepts. Characters.
const MAX_REASON: usize = 255;

/// The tasks of one cluster.
#[derive(Debug)]
pub struct EcsCompute {
    client: Client,
    cluster: String,
    launch: Option<LaunchConfig>,
    reads: RateLimit,
    unsupported: UnsupportedSubnets,
}

impl EcsCompute {
    /// The tasks of the cluster with this name or ARN. Without `launch`, no task can be started.
    pub fn new(config: &SdkConfig, cluster: String, launch: Option<LaunchConfig>) -> Self {
        Self {
            client: Client::new(config),
            cluster,
            launch,
            reads: RateLimit::default(),
            unsupported: UnsupportedSubnets::default(),
        }
    }

    async fn page(&self, tasks: &[String]) -> Result<Vec<TaskFacts>, BackendError> {
        let action = "describing tasks";
        self.reads.wait().await;
        let response = self
            .client
            .describe_tasks()
            .cluster(&self.cluster)
            .set_tasks(Some(tasks.to_vec()))
            .send()
            .await
            .map_err(|error| BackendError::new(action, error))?;
        if let Some(failure) = response.failures().iter().find(|failure| !is_missing(failure)) {
            let reason = failure.reason().unwrap_or("no reason given").to_owned();
            return Err(BackendError::new(action, reason));
        }
        Ok(response.tasks().iter().filter_map(facts).collect())
    }
}

/// Whether DescribeTasks reports that the task does not exist
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>).
fn is_missing(failure: &Failure) -> bool {
    failure.reason() == Some("MISSING")
}

fn facts(task: &Task) -> Option<TaskFacts> {
    TaskDetail::from(task).facts()
}

#[async_trait]
impl Compute for EcsCompute {
    async fn run(&self, task: &RunTask) -> Result<TaskId, RunError> {
        let launch = self.launch.as_ref().ok_or_else(|| {
            BackendError::new("running a task", "this function has no launch configuration")
        })?;
        launch.run(&self.client, &self.cluster, task, &self.unsupported).await
    }

    async fn stop(&self, task: &TaskId, reason: &str) -> Result<(), StopError> {
        let reason: String = reason.chars().take(MAX_REASON).collect();
        let stopped = self
            .client
            .stop_task()
            .cluster(&self.cluster)
            .task(task.as_str())
            .reason(reason)
            .send()
            .await;
        let Err(error) = stopped else { return Ok(()) };
        if is_throttled(error.code()) {
            return Err(StopError::Throttled);
        }
        let unknown = matches!(
            error.as_service_error(),
            Some(StopTaskError::InvalidParameterException(refused))
                if refused.message().is_some_and(|message| message.contains("not found"))
        );
        if unknown {
            return Err(StopError::Unknown);
        }
        Err(BackendError::new("stopping a task", error).into())
    }

    async fn describe(&self, tasks: &[TaskId]) -> Result<Vec<TaskFacts>, BackendError> {
        let names: Vec<String> = tasks.iter().map(|task| task.as_str().to_owned()).collect();
        let mut facts = Vec::with_capacity(names.len());
        for page in names.chunks(PAGE) {
            facts.extend(self.page(page).await?);
        }
        Ok(facts)
    }

    /// Lists the tasks that have not stopped. ListTasks without a desired status returns those whose
    /// desired status is RUNNING, so a task that is stopping is left out.
    async fn list(&self, started_by: Option<&str>) -> Result<Vec<TaskFacts>, BackendError> {
        let mut facts = Vec::new();
        let mut next = None;
        loop {
            self.reads.wait().await;
            let listed = self
                .client
                .list_tasks()
                .cluster(&self.cluster)
                // ECS accepts no second filter beside it.
                .set_started_by(started_by.map(str::to_owned))
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| BackendError::new("listing tasks", error))?;
            if !listed.task_arns().is_empty() {
                facts.extend(self.page(listed.task_arns()).await?);
            }
            next = listed.next_token;
            if next.is_none() {
                break;
            }
        }
        facts.retain(|facts| facts.status != TaskStatus::Stopped);
        Ok(facts)
    }
}
