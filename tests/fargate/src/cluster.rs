//! All tasks, and their changes.

use std::{sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use sandbox::{Driver, TaskFacts, TaskId};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    arn::ArnPrefix,
    events::Events,
    exec::Sessions,
    faults::Faults,
    host_port::HostPort,
    link::Links,
    task::{Agent, Status, Task},
    time_format::now,
    view,
};

mod instances;
mod spec;
mod state;

pub(crate) use state::{PreviousResponse, State};

/// Time limit for all tasks to end.
const TIME_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) arn_prefix: ArnPrefix,
    driver: Arc<Driver>,
    events: Events,
    sessions: Sessions,
    links: Links,
    host_port: HostPort,
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

impl Cluster {
    pub(crate) fn new(
        arn_prefix: ArnPrefix,
        driver: Arc<Driver>,
        events: Events,
        sessions: Sessions,
        links: Links,
        host_port: HostPort,
        state: State,
    ) -> Self {
        let (changes, _) = watch::channel(());
        let state = Mutex::new(state);
        Self { arn_prefix, driver, events, sessions, links, host_port, state, changes }
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

    /// The state, without tasks and responses that have expired.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        state.remove_expired(&self.driver);
        state
    }

    /// Adds tasks, and launches them after the injected delay.
    pub(crate) fn place(self: &Arc<Self>, state: &mut State, tasks: Vec<Task>) {
        let pause = Duration::from_millis(state.faults.slow_start_ms);
        for task in tasks {
            self.announce(&task, &state.faults);
            let id = task.id.clone();
            state.tasks.insert(id.clone(), task);
            let cluster = Arc::clone(self);
            tokio::spawn(async move {
                sleep(pause).await;
                cluster.await_instance(&id).await;
                cluster.launch(&id).await;
            });
        }
    }

    async fn launch(self: &Arc<Self>, id: &str) {
        let spec = self.change(id, |cluster, task, faults| {
            if task.stop.is_some() {
                cluster.advance(task, faults, Status::Stopped);
                return None;
            }
            cluster.advance(task, faults, Status::Pending);
            task.launched = true;
            Some(spec::of(task))
        });
        let Some(spec) = spec.flatten() else { return };
        let failed = match self.with_driver(|driver| driver.run(spec)).await {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.to_string()),
            None => Some("the driver has ended".to_owned()),
        };
        let stopped = self.change(id, |cluster, task, faults| {
            if let Some(reason) = failed {
                task.end("TaskFailedToStart", &format!("CannotStartContainerError: {reason}"));
                cluster.advance(task, faults, Status::Stopped);
            }
            task.stop.as_ref().map(|stop| stop.reason.clone())
        });
        // The task may have been stopped before its sandbox existed.
        if let Some(reason) = stopped.flatten() {
            self.stop_sandbox(id, &reason).await;
        }
    }

    /// Stops a task, as StopTask does; returns the task after the request.
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

    /// Records the stop of a task and sends the event; its sandbox keeps running.
    pub(crate) fn end(&self, id: &str, code: &'static str, reason: &str) -> Option<Task> {
        self.change(id, |cluster, task, faults| {
            if task.end(code, reason) {
                cluster.send_event(task, faults);
            }
            let shown = task.clone();
            if !task.launched {
                cluster.advance(task, faults, Status::Stopped);
            }
            shown
        })
    }

    pub(crate) async fn stop_sandbox(&self, id: &str, reason: &str) {
        let (id, reason) = (TaskId::of_token(id), reason.to_owned());
        // `launch` stops a sandbox that the driver does not know yet.
        let _unknown = self.with_driver(move |driver| driver.stop(&id, &reason)).await;
    }

    /// Applies a report of the driver, which may be about a task of an earlier server.
    pub(crate) fn apply(self: &Arc<Self>, facts: &TaskFacts) {
        let id = facts.started_by.clone();
        let agent_delay = self.change(&id, |cluster, task, known| match facts.last_status {
            sandbox::Status::Provisioning => None,
            sandbox::Status::Running => {
                if task.last < Status::Running {
                    let socket = cluster.driver.socket(&task.sandbox);
                    cluster.links.start(&id, &task.arn, &task.requested.overrides, &socket);
                    cluster.host_port.start(&id, socket);
                }
                cluster.runs(task, known)
            }
            sandbox::Status::Stopping => {
                cluster.links.end(&id);
                cluster.host_port.end(&id);
                cluster.ends(task, facts);
                cluster.advance(task, known, Status::Stopping);
                None
            }
            sandbox::Status::Stopped => {
                cluster.links.end(&id);
                cluster.ends(task, facts);
                cluster.advance(task, known, Status::Stopped);
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
                        task.agent = Agent::Running(now());
                        cluster.send_event(task, faults);
                    }
                });
            });
        }
    }

    /// Returns the delay of the agent's connection, if it is not connected.
    fn runs(&self, task: &mut Task, faults: &Faults) -> Option<Duration> {
        if task.last >= Status::Running {
            return None;
        }
        let delay = Duration::from_millis(faults.agent_delay_ms);
        let pending = task.agent == Agent::Pending;
        if pending && delay.is_zero() {
            task.agent = Agent::Running(now());
        }
        self.advance(task, faults, Status::Running);
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

    /// Stops all tasks and waits; returns the number of tasks that are left.
    pub(crate) async fn close(self: &Arc<Self>) -> usize {
        let ids: Vec<String> = {
            let mut state = self.state();
            state.close();
            state.tasks.keys().cloned().collect()
        };
        for id in ids {
            self.stop(&id, "UserInitiated", "the server ends").await;
        }
        let mut changes = self.changes.subscribe();
        let all_stopped = async {
            while self.live() > 0 {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        // Tasks that are left after the time limit are counted.
        let _late = timeout(TIME_LIMIT, all_stopped).await;
        self.live()
    }

    /// The number of tasks and sandboxes that have not stopped, those of an earlier server included.
    fn live(&self) -> usize {
        let stopped = sandbox::Status::Stopped;
        let sandboxes = self.driver.list(None);
        let sandboxes = sandboxes.iter().filter(|facts| facts.last_status != stopped).count();
        let state = self.state();
        let tasks = state.tasks.values().filter(|task| task.last != Status::Stopped).count();
        tasks.max(sandboxes)
    }

    /// Changes a known task under the lock.
    fn change<T>(
        &self,
        id: &str,
        change: impl FnOnce(&Self, &mut Task, &Faults) -> T,
    ) -> Option<T> {
        let mut state = self.state.lock();
        let State { tasks, faults, .. } = &mut *state;
        let done = change(self, tasks.get_mut(id)?, faults);
        drop(state);
        self.changes.send_replace(());
        Some(done)
    }

    /// Moves a task to `target`, with an event for each step.
    fn advance(&self, task: &mut Task, faults: &Faults, target: Status) {
        for status in task.path_to(target) {
            task.enter(status);
            self.send_event(task, faults);
        }
    }

    fn send_event(&self, task: &mut Task, faults: &Faults) {
        task.version += 1;
        self.announce(task, faults);
    }

    fn announce(&self, task: &Task, faults: &Faults) {
        let event = view::event(task, &self.arn_prefix.account, &self.arn_prefix.region, now());
        self.events.send(&event, &faults.events);
    }

    async fn with_driver<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Driver) -> T + Send + 'static,
    ) -> Option<T> {
        let driver = Arc::clone(&self.driver);
        spawn_blocking(move || call(&driver)).await.ok()
    }
}
