//! The tasks: their quotas, how long they take to start and to stop, and their events.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    TaskId,
    message::Message,
    ports::{BackendError, Clock as _, Compute, RunError, RunTask, StopError},
    task::{StopCause, StopCode, TaskFacts, TaskStatus},
};
use fastrand::Rng;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::{
    clock::VirtualClock,
    deployment::{CALL, Deployment},
    quotas::Quotas,
    runners::Runners,
};

/// How long a request for a task takes.
const RUN: Duration = Duration::from_millis(350);
/// From the placement of a task until its container runs: uniformly between these. Seconds.
const STARTS_IN: (f64, f64) = (30.0, 60.0);
/// From the request to stop a task until it has stopped: uniformly between these. Seconds.
const STOPS_IN: (f64, f64) = (5.0, 20.0);
/// From a change of a task until its event is in the queue.
const EVENT: Duration = Duration::from_secs(1);

/// All tasks.
pub(crate) struct Tasks {
    clock: VirtualClock,
    quotas: Arc<Quotas>,
    /// Units of 1/1024 vCPU that all tasks may have.
    cpu: u32,
    attached: OnceLock<(Weak<Deployment>, Weak<Runners>)>,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    tasks: HashMap<TaskId, Task>,
    by_token: HashMap<String, TaskId>,
    cpu: u32,
    counts: TaskUse,
}

struct Task {
    facts: TaskFacts,
    cpu: u32,
    placed: Instant,
}

/// What became of the tasks in a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TaskUse {
    pub(crate) placed: u64,
    pub(crate) throttled: u64,
    pub(crate) beyond_vcpus: u64,
    pub(crate) peak_cpu: u32,
    /// Time from placement to end of all tasks together.
    pub(crate) seconds: f64,
    pub(crate) not_stopped: u64,
}

impl Tasks {
    pub(crate) fn new(clock: VirtualClock, quotas: Arc<Quotas>, cpu: u32, seed: u64) -> Self {
        let state = State {
            rng: Rng::with_seed(seed),
            tasks: HashMap::new(),
            by_token: HashMap::new(),
            cpu: 0,
            counts: TaskUse::default(),
        };
        Self { clock, quotas, cpu, attached: OnceLock::new(), state: Mutex::new(state) }
    }

    pub(crate) fn attach(&self, deployment: &Arc<Deployment>, runners: &Arc<Runners>) {
        let _ = self.attached.set((Arc::downgrade(deployment), Arc::downgrade(runners)));
    }

    /// What became of the tasks.
    pub(crate) fn used(&self) -> TaskUse {
        let state = self.state.lock();
        let open = state.tasks.values().filter(|task| task.facts.status != TaskStatus::Stopped);
        TaskUse { not_stopped: open.count() as u64, ..state.counts }
    }

    /// Whether the container of a task runs; none if there is no such task or no more.
    pub(crate) fn is_running(&self, task: &TaskId) -> Option<bool> {
        let state = self.state.lock();
        match state.tasks.get(task)?.facts.status {
            TaskStatus::Unplaced | TaskStatus::Pending => Some(false),
            TaskStatus::Running | TaskStatus::Stopping => Some(true),
            TaskStatus::Stopped => None,
        }
    }

    fn uniform(&self, (least, most): (f64, f64)) -> Duration {
        Duration::from_secs_f64((most - least).mul_add(self.state.lock().rng.f64(), least))
    }

    /// The answer to a request that was not throttled.
    fn place(&self, request: &RunTask) -> Result<TaskId, RunError> {
        let mut state = self.state.lock();
        if let Some(task) = state.by_token.get(&request.client_token) {
            return Ok(task.clone());
        }
        if state.cpu + request.size.cpu() > self.cpu {
            state.counts.beyond_vcpus += 1;
            return Err(RunError::Capacity("the quota of vCPUs is reached".into()));
        }
        let id = TaskId::new(format!("task-{}", state.tasks.len() + 1));
        let facts = TaskFacts {
            task: id.clone(),
            started_by: request.started_by.clone(),
            version: 1,
            status: TaskStatus::Pending,
            ending: false,
            stop: None,
            at: self.clock.now(),
        };
        state.cpu += request.size.cpu();
        state.counts.placed += 1;
        state.counts.peak_cpu = state.counts.peak_cpu.max(state.cpu);
        state.by_token.insert(request.client_token.clone(), id.clone());
        let task = Task { facts, cpu: request.size.cpu(), placed: Instant::now() };
        state.tasks.insert(id.clone(), task);
        Ok(id)
    }

    /// Moves a task to this status, if that is a later one, and sends the event. The task's facts; none if
    /// nothing changed.
    fn change(&self, id: &TaskId, status: TaskStatus) -> Option<TaskFacts> {
        let mut state = self.state.lock();
        let task = state.tasks.get_mut(id)?;
        if task.facts.status >= status {
            return None;
        }
        task.facts.status = status;
        task.facts.version += 1;
        task.facts.at = self.clock.now();
        if status >= TaskStatus::Stopping {
            task.facts.ending = true;
            let message = "stop requested".to_owned();
            let cause = StopCause { code: StopCode::Requested, message, exit_code: None };
            task.facts.stop.get_or_insert(cause);
        }
        let (facts, cpu, placed) = (task.facts.clone(), task.cpu, task.placed);
        if status == TaskStatus::Stopped {
            state.cpu -= cpu;
            state.counts.seconds += placed.elapsed().as_secs_f64();
        }
        drop(state);
        self.tell(facts.clone());
        Some(facts)
    }

    /// The rule of events lets those through that say something new.
    fn tell(&self, facts: TaskFacts) {
        if !matches!(facts.status, TaskStatus::Running | TaskStatus::Stopped) {
            return;
        }
        if let Some(deployment) =
            self.attached.get().and_then(|(deployment, _)| deployment.upgrade())
        {
            deployment.lanes.deliver(Message::TaskEvent { facts }, EVENT);
        }
    }

    fn facts(&self, id: &TaskId) -> Option<TaskFacts> {
        self.state.lock().tasks.get(id).map(|task| task.facts.clone())
    }

    /// The life of a task until its container runs.
    async fn start(deployment: Arc<Deployment>, runners: Arc<Runners>, id: TaskId) {
        let tasks = &deployment.tasks;
        sleep(tasks.uniform(STARTS_IN)).await;
        if tasks.change(&id, TaskStatus::Running).is_some() {
            runners.started(deployment.clone(), id);
        }
    }
}

#[async_trait]
impl Compute for Tasks {
    async fn run(&self, request: &RunTask) -> Result<TaskId, RunError> {
        sleep(RUN).await;
        let quotas = &self.quotas;
        if !(quotas.run_task.take() && quotas.modify.take() && quotas.launches.take()) {
            self.state.lock().counts.throttled += 1;
            return Err(RunError::Throttled);
        }
        let is_new = !self.state.lock().by_token.contains_key(&request.client_token);
        let id = self.place(request)?;
        if let Some((deployment, runners)) = self.attached.get()
            && let (Some(deployment), Some(runners)) = (deployment.upgrade(), runners.upgrade())
            && is_new
        {
            tokio::spawn(Self::start(deployment, runners, id.clone()));
        }
        Ok(id)
    }

    async fn stop(&self, id: &TaskId, _reason: &str) -> Result<(), StopError> {
        sleep(CALL).await;
        if !self.quotas.modify.take() {
            return Err(StopError::Throttled);
        }
        if self.facts(id).is_none() {
            return Err(StopError::Unknown);
        }
        let deployment = self.attached.get().and_then(|(deployment, _)| deployment.upgrade());
        if self.change(id, TaskStatus::Stopping).is_some()
            && let Some(deployment) = deployment
        {
            let (id, takes) = (id.clone(), self.uniform(STOPS_IN));
            tokio::spawn(async move {
                sleep(takes).await;
                deployment.tasks.change(&id, TaskStatus::Stopped);
            });
        }
        Ok(())
    }

    async fn describe(&self, ids: &[TaskId]) -> Result<Vec<TaskFacts>, BackendError> {
        sleep(CALL).await;
        if !self.quotas.read.take() {
            return Err(BackendError::new("describing tasks", "throttled"));
        }
        Ok(ids.iter().filter_map(|id| self.facts(id)).collect())
    }

    async fn list(&self, started_by: Option<&str>) -> Result<Vec<TaskFacts>, BackendError> {
        sleep(CALL).await;
        // Lists have pages of 100, each of which is described.
        let state = self.state.lock();
        let wanted = |facts: &&TaskFacts| {
            facts.status != TaskStatus::Stopped
                && started_by.is_none_or(|starter| facts.started_by == starter)
        };
        let found: Vec<TaskFacts> =
            state.tasks.values().map(|task| &task.facts).filter(wanted).cloned().collect();
        drop(state);
        for _ in 0..2 * found.len().div_ceil(100).max(1) {
            if !self.quotas.read.take() {
                return Err(BackendError::new("listing tasks", "throttled"));
            }
        }
        Ok(found)
    }
}
