//! Tasks on ECS Fargate.

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

mod choice;
mod launch;
mod pace;
mod refusal;
mod told;

pub use launch::Launch;
pub use told::{CONTAINER, TaskDetail};

use pace::Pace;
pub(crate) use refusal::is_throttled;

/// What one call takes (DescribeTasks) or gives (ListTasks) at most.
const PAGE: usize = 100;
/// A reason is for people; ECS takes no more of it. Characters.
const REASON: usize = 255;

/// Tasks of one cluster.
#[derive(Debug)]
pub struct EcsCompute {
    client: Client,
    cluster: String,
    launch: Option<Launch>,
    reads: Pace,
}

impl EcsCompute {
    /// Tasks of this cluster; without `launch`, none can be run.
    pub fn new(config: &SdkConfig, cluster: String, launch: Option<Launch>) -> Self {
        Self { client: Client::new(config), cluster, launch, reads: Pace::default() }
    }

    async fn page(&self, tasks: &[String]) -> Result<Vec<TaskFacts>, BackendError> {
        let action = "describing tasks";
        self.reads.wait().await;
        let told = self
            .client
            .describe_tasks()
            .cluster(&self.cluster)
            .set_tasks(Some(tasks.to_vec()))
            .send()
            .await
            .map_err(|error| BackendError::new(action, error))?;
        if let Some(failure) = told.failures().iter().find(|failure| !is_missing(failure)) {
            let reason = failure.reason().unwrap_or("without a reason").to_owned();
            return Err(BackendError::new(action, reason));
        }
        Ok(told.tasks().iter().filter_map(facts).collect())
    }
}

/// How DescribeTasks says that it knows no such task
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
        let launch = self
            .launch
            .as_ref()
            .ok_or_else(|| BackendError::new("running a task", "there is nothing to run"))?;
        launch.run(&self.client, &self.cluster, task).await
    }

    async fn stop(&self, task: &TaskId, reason: &str) -> Result<(), StopError> {
        let reason: String = reason.chars().take(REASON).collect();
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
                if refused.message().is_some_and(|words| words.contains("not found"))
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

    /// Lists what is to run. A task that is being stopped is left out: nothing more can be done for
    /// it, and ECS lists it only with those of the last hour.
    async fn list(&self, started_by: Option<&str>) -> Result<Vec<TaskFacts>, BackendError> {
        let mut facts = Vec::new();
        let mut next = None;
        loop {
            self.reads.wait().await;
            let listed = self
                .client
                .list_tasks()
                .cluster(&self.cluster)
                // It must be the only filter; the desired status is RUNNING unless told otherwise.
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
