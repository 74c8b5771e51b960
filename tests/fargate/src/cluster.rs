//! All tasks, and how each goes on.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sandbox::{Driver, Network, TaskFacts, TaskId, TaskSpec};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    events::Events,
    exec::Sessions,
    faults::Faults,
    moment::now_ms,
    realm::Realm,
    task::{Agent, Status, Task},
    view,
};

mod state;

pub(crate) use state::{Answer, State};

/// Processes and threads of a task.
const PIDS: u32 = 512;
/// For all tasks to end.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) realm: Realm,
    driver: Arc<Driver>,
    events: Events,
    sessions: Sessions,
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

impl Cluster {
    pub(crate) fn new(
        realm: Realm,
        driver: Arc<Driver>,
        events: Events,
        sessions: Sessions,
    ) -> Self {
        let (changes, _) = watch::channel(());
        Self { realm, driver, events, sessions, state: Mutex::default(), changes }
    }

    pub(crate) fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// What is known now, without what is so old that it is shown no more.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_the_old(&self.driver);
        state
    }

    /// Places tasks and sets them going.
    pub(crate) fn place(self: &Arc<Self>, state: &mut State, tasks: Vec<Task>) {
        let pause = Duration::from_millis(state.faults.slow_start_ms);
        for task in tasks {
            self.announce(&task, &state.faults);
            let id = task.id.clone();
            state.tasks.insert(id.clone(), task);
            let cluster = Arc::clone(self);
            tokio::spawn(async move {
                sleep(pause).await;
                cluster.launch(&id).await;
            });
        }
    }

    async fn launch(self: &Arc<Self>, id: &str) {
        let spec = self.change(id, |cluster, task, faults| {
            if task.stop.is_some() {
                cluster.climb(task, faults, Status::Stopped);
                return None;
            }
            cluster.climb(task, faults, Status::Pending);
            task.launched = true;
            Some(spec(task))
        });
        let Some(spec) = spec.flatten() else { return };
        let failed = match self.with_driver(|driver| driver.run(spec)).await {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.to_string()),
            None => Some("the driver is gone".to_owned()),
        };
        let stopped = self.change(id, |cluster, task, faults| {
            if let Some(reason) = failed {
                task.end("TaskFailedToStart", &format!("CannotStartContainerError: {reason}"));
                cluster.climb(task, faults, Status::Stopped);
            }
            task.stop.as_ref().map(|stop| stop.reason.clone())
        });
        // It may have been stopped before there was anything to stop.
        if let Some(reason) = stopped.flatten() {
            self.stop_sandbox(id, &reason).await;
        }
    }

    /// Asks a task to end, as StopTask does. Answers it as it is then.
    pub(crate) async fn stop(
        self: &Arc<Self>,
        id: &str,
        code: &'static str,
        reason: &str,
    ) -> Option<Task> {
        let task = self.end(id, code, reason)?;
        self.stop_sandbox(id, reason).await;
        Some(task)
    }

    /// Settles a task's end, and says so. What runs goes on running.
    pub(crate) fn end(&self, id: &str, code: &'static str, reason: &str) -> Option<Task> {
        self.change(id, |cluster, task, faults| {
            if task.end(code, reason) {
                cluster.tell(task, faults);
            }
            let shown = task.clone();
            if !task.launched {
                cluster.climb(task, faults, Status::Stopped);
            }
            shown
        })
    }

    pub(crate) async fn stop_sandbox(&self, id: &str, reason: &str) {
        let (id, reason) = (TaskId::of_token(id), reason.to_owned());
        // What the driver doesn't know yet is stopped when it was told to it.
        let _unknown = self.with_driver(move |driver| driver.stop(&id, &reason)).await;
    }

    /// A report of the driver, which may be one of a task of a process before this one.
    pub(crate) fn apply(self: &Arc<Self>, facts: &TaskFacts) {
        let id = facts.started_by.clone();
        let agent_delay = self.change(&id, |cluster, task, known| match facts.last_status {
            sandbox::Status::Provisioning => None,
            sandbox::Status::Running => cluster.runs(task, known),
            sandbox::Status::Stopping => {
                cluster.ends(task, facts);
                cluster.climb(task, known, Status::Stopping);
                None
            }
            sandbox::Status::Stopped => {
                cluster.ends(task, facts);
                cluster.climb(task, known, Status::Stopped);
                None
            }
        });
        self.changes.send_replace(());
        if let Some(delay) = agent_delay.flatten() {
            let cluster = Arc::clone(self);
            tokio::spawn(async move {
                sleep(delay).await;
                cluster.change(&id, |cluster, task, faults| {
                    if task.agent == Agent::Pending && task.last == Status::Running {
                        task.agent = Agent::Running(now_ms());
                        cluster.tell(task, faults);
                    }
                });
            });
        }
    }

    /// Answers how long the agent takes to come up, if it has not done so.
    fn runs(&self, task: &mut Task, faults: &Faults) -> Option<Duration> {
        if task.last >= Status::Running {
            return None;
        }
        let delay = Duration::from_millis(faults.agent_delay_ms);
        let pending = task.agent == Agent::Pending;
        if pending && delay.is_zero() {
            task.agent = Agent::Running(now_ms());
        }
        self.climb(task, faults, Status::Running);
        (pending && !delay.is_zero()).then_some(delay)
    }

    fn ends(&self, task: &mut Task, facts: &TaskFacts) {
        task.exit_code = facts.exit_code.or(task.exit_code);
        if facts.oom_killed {
            task.container_reason = Some("OutOfMemoryError: Container killed due to memory usage");
        }
        if facts.stop_code == Some(sandbox::StopCode::TaskFailedToStart) {
            let reason = format!("CannotStartContainerError: {}", facts.stopped_reason);
            task.end("TaskFailedToStart", &reason);
        }
        task.end("EssentialContainerExited", "Essential container in task exited");
    }

    /// Ends all tasks and waits for it. Answers how many are left.
    pub(crate) async fn close(self: &Arc<Self>) -> usize {
        let ids: Vec<String> = {
            let mut state = self.state();
            state.closed = true;
            state.tasks.keys().cloned().collect()
        };
        for id in ids {
            self.stop(&id, "UserInitiated", "the test is over").await;
        }
        let mut changes = self.changes.subscribe();
        let all_stopped = async {
            while self.live() > 0 {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        // Who is left then is counted.
        let _late = timeout(PATIENCE, all_stopped).await;
        self.live()
    }

    /// Also what a server before this one has left.
    fn live(&self) -> usize {
        let stopped = sandbox::Status::Stopped;
        let sandboxes = self.driver.list(None);
        let sandboxes = sandboxes.iter().filter(|facts| facts.last_status != stopped).count();
        let told = self.state();
        let told = told.tasks.values().filter(|task| task.last != Status::Stopped).count();
        told.max(sandboxes)
    }

    /// Changes a task under the lock, if it is known.
    fn change<T>(
        &self,
        id: &str,
        change: impl FnOnce(&Self, &mut Task, &Faults) -> T,
    ) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { tasks, faults, .. } = &mut *state;
        let done = change(self, tasks.get_mut(id)?, faults);
        drop(state);
        self.changes.send_replace(());
        Some(done)
    }

    /// Goes on to `target`, and tells of each step.
    fn climb(&self, task: &mut Task, faults: &Faults, target: Status) {
        for status in task.way_to(target) {
            task.enter(status);
            self.tell(task, faults);
        }
    }

    fn tell(&self, task: &mut Task, faults: &Faults) {
        task.version += 1;
        self.announce(task, faults);
    }

    fn announce(&self, task: &Task, faults: &Faults) {
        let event = view::event(task, &self.realm.account, &self.realm.region, now_ms());
        self.events.tell(&event, &faults.events);
    }

    async fn with_driver<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Driver) -> T + Send + 'static,
    ) -> Option<T> {
        let driver = Arc::clone(&self.driver);
        spawn_blocking(move || call(&driver)).await.ok()
    }
}

/// A sandbox is known to the driver by its task's id, twice: as its token and as its starter.
fn spec(task: &Task) -> TaskSpec {
    TaskSpec {
        started_by: task.id.clone(),
        token: task.id.clone(),
        cpu_units: task.asked.cpu,
        memory_mib: task.asked.memory,
        pids: PIDS,
        // Files in memory count as memory: with more, a full /tmp would kill the commands.
        tmpfs_mib: task.asked.memory / 2,
        network: Network::None,
    }
}
