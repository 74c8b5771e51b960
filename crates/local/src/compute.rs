//! Runs tasks as sandboxes on this host.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    TaskId,
    message::Message,
    ports::{BackendError, Compute, Queue, RunError, RunTask, StopError},
    size::Network,
    task::TaskFacts,
};
use sandbox::{Driver, Egress, TaskSpec};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use crate::shell::Tasks;

mod facts;

/// The name of the only image.
pub const IMAGE: &str = "default";
/// The largest number of processes and threads in a shell.
pub(crate) const PIDS: u32 = 512;

/// Runs tasks as sandboxes of a [`Driver`].
#[derive(Debug, Clone)]
pub struct SandboxCompute {
    driver: Arc<Driver>,
    egress: Egress,
}

impl SandboxCompute {
    /// Opens the driver. From now on the events of its tasks go to the queue, also those of tasks that
    /// an earlier process started. The returned handle finishes when the last clone is dropped and the
    /// driver is closed. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If this host can't isolate shells as configured.
    pub fn open(
        config: sandbox::Config,
        queue: Arc<dyn Queue>,
    ) -> Result<(Self, JoinHandle<()>), sandbox::OpenError> {
        // Unbounded, so that the driver never blocks: the reports are small and soon passed on.
        let (report, facts) = mpsc::unbounded_channel();
        let egress = config.egress;
        let driver = Driver::open(config, move |facts| {
            // The receiver is gone only when the process ends; the next process queries the tasks.
            let _process_ends = report.send(facts);
        })?;
        let forwarder = tokio::spawn(forward(facts, queue));
        Ok((Self { driver: Arc::new(driver), egress }, forwarder))
    }

    /// Whether tasks can reach the network.
    ///
    /// # Errors
    /// The reason why they can't.
    pub fn egress(&self) -> Result<(), String> {
        if self.egress == Egress::None {
            return Err("the operator of this server gives shells no network".to_owned());
        }
        let has = self.driver.has_egress();
        has.then_some(()).ok_or_else(|| sandbox::RunError::NoEgress.to_string())
    }

    /// Whether the disks of tasks are on real storage. The first call takes some time.
    pub fn has_disks(&self) -> bool {
        self.driver.has_disks()
    }

    async fn with_driver<T: Send + 'static>(
        &self,
        action: &'static str,
        call: impl FnOnce(&Driver) -> T + Send + 'static,
    ) -> Result<T, BackendError> {
        let driver = Arc::clone(&self.driver);
        spawn_blocking(move || call(&driver))
            .await
            .map_err(|error| BackendError::new(action, error))
    }
}

/// Passes the driver's reports on to the queue. A report that can't be sent is lost; the sweep queries
/// the task again.
async fn forward(mut facts: mpsc::UnboundedReceiver<sandbox::TaskFacts>, queue: Arc<dyn Queue>) {
    while let Some(report) = facts.recv().await {
        let facts = facts::of(report);
        let task = facts.task.clone();
        let message = Message::TaskEvent { facts };
        if let Err(error) = queue.send(&message, Duration::ZERO).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                error,
                task.id = %task,
                "failed to send an event of task {task}; the sweep queries the task again"
            );
        }
    }
}

#[async_trait]
impl Compute for SandboxCompute {
    async fn run(&self, task: &RunTask) -> Result<TaskId, RunError> {
        if task.image != IMAGE {
            return Err(RunError::Refused(format!("there is no image {}", task.image)));
        }
        let spec = spec(task);
        match self.with_driver("running a task", |driver| driver.run(spec)).await? {
            Ok(id) => Ok(TaskId::new(id.as_str())),
            Err(error @ sandbox::RunError::NoEgress) => Err(RunError::Refused(error.to_string())),
            Err(error @ sandbox::RunError::NoCapacity) => {
                Err(RunError::Capacity(error.to_string()))
            }
            Err(sandbox::RunError::Backend(error)) => {
                Err(BackendError::new("recording a task", error).into())
            }
        }
    }

    async fn stop(&self, task: &TaskId, reason: &str) -> Result<(), StopError> {
        let id = task.as_str().parse().map_err(|_| StopError::Unknown)?;
        let reason = reason.to_owned();
        let stopped = self.with_driver("stopping a task", move |driver| driver.stop(&id, &reason));
        stopped.await?.map_err(|sandbox::StopError::Unknown| StopError::Unknown)
    }

    async fn forget(&self, task: &TaskId) {
        let Ok(id) = task.as_str().parse() else { return };
        // If it fails, the driver forgets the task an hour after its end.
        let _later = self.with_driver("forgetting a task", move |driver| driver.forget(&id)).await;
    }

    async fn describe(&self, tasks: &[TaskId]) -> Result<Vec<TaskFacts>, BackendError> {
        let ids: Vec<_> = tasks.iter().filter_map(|task| task.as_str().parse().ok()).collect();
        Ok(self.driver.describe(&ids).into_iter().map(facts::of).collect())
    }

    async fn list(&self, started_by: Option<&str>) -> Result<Vec<TaskFacts>, BackendError> {
        let started_by = started_by.map(str::to_owned);
        let all =
            self.with_driver("listing tasks", move |driver| driver.list(started_by.as_deref()));
        let live = all.await?.into_iter().filter(|f| f.last_status != sandbox::Status::Stopped);
        Ok(live.map(facts::of).collect())
    }
}

impl Tasks for SandboxCompute {
    fn socket(&self, task: &TaskId) -> PathBuf {
        // A task id that the driver did not create has no socket.
        let id = task.as_str().parse::<sandbox::TaskId>();
        id.map(|id| self.driver.socket(&id)).unwrap_or_default()
    }

    fn is_gone(&self, task: &TaskId) -> bool {
        let Ok(id) = task.as_str().parse() else { return true };
        self.driver.describe(&[id]).iter().all(|f| f.last_status == sandbox::Status::Stopped)
    }

    fn memory_kills(&self, task: &TaskId) -> u64 {
        task.as_str().parse().map_or(0, |id| self.driver.oom_kills(&id))
    }

    fn set_deadline(&self, task: &TaskId, after: Duration) {
        if let Ok(id) = task.as_str().parse() {
            self.driver.set_deadline(&id, after);
        }
    }
}

fn spec(task: &RunTask) -> TaskSpec {
    TaskSpec {
        started_by: task.started_by.clone(),
        token: task.client_token.clone(),
        cpu_units: task.size.cpu(),
        memory_mib: task.size.memory_mib(),
        pids: PIDS,
        disk_mib: task.size.disk_mib(),
        lifetime: Some(task.lifetime),
        network: match task.network {
            Network::None => sandbox::Network::None,
            Network::Egress => sandbox::Network::Egress,
        },
    }
}

#[cfg(test)]
mod tests;
