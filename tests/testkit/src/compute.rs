//! Tasks in memory: the test moves them through their states.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use async_trait::async_trait;
use domain::{
    TaskId,
    ports::{BackendError, Clock, Compute, RunError, RunTask, StopError},
    task::{StopCause, StopCode, TaskFacts, TaskStatus},
};
use parking_lot::Mutex;

use crate::{Gate, SimClock};

/// A fault of a later request for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunFault {
    /// There is no capacity. The same client token gets the same answer again.
    Capacity,
    /// The request can never succeed. The same client token gets the same answer again.
    Refused,
    /// The request is throttled. The client token is not remembered.
    Throttled,
    /// The task is placed, and the caller gets an error.
    LostAnswer,
}

/// Keeps tasks as facts; nothing runs.
#[derive(Debug)]
pub struct MemoryCompute {
    clock: SimClock,
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tasks: BTreeMap<TaskId, TaskFacts>,
    answers: HashMap<String, Result<TaskId, RunFault>>,
    requests: Vec<RunTask>,
    faults: VecDeque<RunFault>,
    events: Vec<TaskFacts>,
    /// Whether tasks get no place to run.
    withheld: bool,
}

impl MemoryCompute {
    /// No tasks.
    pub fn new(clock: SimClock, gate: Arc<Gate>) -> Self {
        Self { clock, gate, state: Mutex::default() }
    }

    /// Adds a fault for a later request; each request takes one, in order.
    pub fn fail_next_run(&self, fault: RunFault) {
        self.state.lock().faults.push_back(fault);
    }

    /// Drops the faults that no request has taken.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// All requests for tasks that passed the gate, repeated ones included.
    pub fn requests(&self) -> Vec<RunTask> {
        self.state.lock().requests.clone()
    }

    /// All tasks that were ever placed, by id.
    pub fn tasks(&self) -> Vec<TaskFacts> {
        self.state.lock().tasks.values().cloned().collect()
    }

    /// The facts of a task.
    pub fn facts(&self, task: &TaskId) -> Option<TaskFacts> {
        self.state.lock().tasks.get(task).cloned()
    }

    /// Whether a task's container runs.
    pub fn is_running(&self, task: &TaskId) -> bool {
        let runs =
            |facts: TaskFacts| matches!(facts.status, TaskStatus::Running | TaskStatus::Stopping);
        self.facts(task).is_some_and(runs)
    }

    /// Takes the task events since the last call, in order.
    pub fn take_events(&self) -> Vec<TaskFacts> {
        std::mem::take(&mut self.state.lock().events)
    }

    /// Lets the tasks that are requested from now on wait for a place to run, or no longer.
    pub fn withhold_places(&self, withheld: bool) {
        self.state.lock().withheld = withheld;
    }

    /// Places a task that no request asked for.
    pub fn adopt(&self, task: TaskId, started_by: &str, status: TaskStatus) -> TaskFacts {
        let mut state = self.state.lock();
        state.place(task.clone(), started_by, self.clock.now());
        drop(state);
        self.advance(&task, status)
    }

    /// Moves a task to a later status and returns the event. A stopped task does not change.
    ///
    /// # Panics
    /// If there is no such task.
    pub fn advance(&self, task: &TaskId, status: TaskStatus) -> TaskFacts {
        self.change(task, |facts| {
            facts.status = facts.status.max(status);
            facts.ending |= status >= TaskStatus::Stopping;
            if status == TaskStatus::Stopped && facts.stop.is_none() {
                facts.stop = Some(cause(StopCode::Exited));
            }
        })
    }

    /// Stops the task for this cause, without a request.
    ///
    /// # Panics
    /// If there is no such task.
    pub fn die(&self, task: &TaskId, code: StopCode) -> TaskFacts {
        self.change(task, |facts| {
            facts.status = TaskStatus::Stopped;
            facts.ending = true;
            facts.stop = Some(cause(code));
        })
    }

    /// The provider announces that it takes the capacity back: the task runs until it is stopped.
    ///
    /// # Panics
    /// If there is no such task.
    pub fn interrupt(&self, task: &TaskId) -> TaskFacts {
        self.change(task, |facts| {
            facts.ending = true;
            facts.stop.get_or_insert(cause(StopCode::Interrupted));
        })
    }

    /// The provider forgets a stopped task.
    pub fn forget(&self, task: &TaskId) {
        self.state.lock().tasks.remove(task);
    }

    fn change(&self, task: &TaskId, change: impl FnOnce(&mut TaskFacts)) -> TaskFacts {
        let mut state = self.state.lock();
        let facts = state.tasks.get_mut(task).expect("the task exists");
        if facts.status == TaskStatus::Stopped {
            return facts.clone();
        }
        change(facts);
        facts.version += 1;
        facts.at = self.clock.now();
        let event = facts.clone();
        state.events.push(event.clone());
        event
    }

    fn request(&self, task: &RunTask) -> Result<TaskId, RunError> {
        let mut state = self.state.lock();
        state.requests.push(task.clone());
        if let Some(answer) = state.answers.get(&task.client_token) {
            return answer.clone().map_err(refusal);
        }
        let fault = state.faults.pop_front();
        match fault {
            Some(RunFault::Throttled) => return Err(RunError::Throttled),
            Some(refused @ (RunFault::Capacity | RunFault::Refused)) => {
                state.answers.insert(task.client_token.clone(), Err(refused));
                return Err(refusal(refused));
            }
            Some(RunFault::LostAnswer) | None => {}
        }
        let id = TaskId::new(format!("task-{}", state.answers.len() + 1));
        state.place(id.clone(), &task.started_by, self.clock.now());
        state.answers.insert(task.client_token.clone(), Ok(id.clone()));
        match fault {
            Some(lost) => Err(refusal(lost)),
            None => Ok(id),
        }
    }

    fn end(&self, task: &TaskId) -> Result<(), StopError> {
        match self.facts(task) {
            None => return Err(StopError::Unknown),
            Some(facts) if facts.status >= TaskStatus::Stopping => return Ok(()),
            Some(_) => {}
        }
        self.change(task, |facts| {
            facts.status = TaskStatus::Stopping;
            facts.ending = true;
            facts.stop.get_or_insert(cause(StopCode::Requested));
        });
        Ok(())
    }
}

impl State {
    fn place(&mut self, task: TaskId, started_by: &str, at: domain::Timestamp) {
        let facts = TaskFacts {
            task: task.clone(),
            started_by: started_by.to_owned(),
            version: 1,
            status: if self.withheld { TaskStatus::Unplaced } else { TaskStatus::Pending },
            ending: false,
            stop: None,
            at,
        };
        self.events.push(facts.clone());
        self.tasks.insert(task, facts);
    }
}

fn cause(code: StopCode) -> StopCause {
    StopCause { code, message: format!("{code:?}"), exit_code: None }
}

fn refusal(fault: RunFault) -> RunError {
    match fault {
        RunFault::Capacity => RunError::Capacity("no room".into()),
        RunFault::Refused => RunError::Refused("never possible".into()),
        RunFault::Throttled => RunError::Throttled,
        RunFault::LostAnswer => BackendError::new("running a task", "the answer was lost").into(),
    }
}

#[async_trait]
impl Compute for MemoryCompute {
    async fn run(&self, task: &RunTask) -> Result<TaskId, RunError> {
        self.gate.pass("running a task", || self.request(task)).await?
    }

    async fn stop(&self, task: &TaskId, _reason: &str) -> Result<(), StopError> {
        self.gate.pass("stopping a task", || self.end(task)).await?
    }

    async fn describe(&self, tasks: &[TaskId]) -> Result<Vec<TaskFacts>, BackendError> {
        self.gate
            .pass("describing tasks", || tasks.iter().filter_map(|task| self.facts(task)).collect())
            .await
    }

    async fn list(&self, started_by: Option<&str>) -> Result<Vec<TaskFacts>, BackendError> {
        let wanted = |facts: &TaskFacts| {
            facts.status != TaskStatus::Stopped
                && started_by.is_none_or(|starter| facts.started_by == starter)
        };
        self.gate.pass("listing tasks", || self.tasks().into_iter().filter(wanted).collect()).await
    }
}
