//! Tasks whose fate a test decides.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use domain::{
    TaskId,
    ports::{BackendError, Clock, Compute, RunError, RunTask, StopError},
    task::{StopCause, StopCode, TaskFacts, TaskStatus},
};

use crate::{Gate, SimClock, gate::locked};

/// What a coming request for a task meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No room: definite, and said again to the same token.
    Capacity,
    /// Never possible: definite, and said again to the same token.
    Refused,
    /// Too often: nothing is remembered.
    Throttled,
    /// The task runs, but the answer is lost.
    LostAnswer,
}

/// Runs tasks in name only.
#[derive(Debug)]
pub struct MemoryCompute {
    clock: SimClock,
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tasks: BTreeMap<TaskId, TaskFacts>,
    answers: HashMap<String, Result<TaskId, Trouble>>,
    requests: Vec<RunTask>,
    troubles: VecDeque<Trouble>,
    events: Vec<TaskFacts>,
}

impl MemoryCompute {
    /// No tasks.
    pub fn new(clock: SimClock, gate: Arc<Gate>) -> Self {
        Self { clock, gate, state: Mutex::default() }
    }

    /// Lines up trouble for a coming request.
    pub fn trouble(&self, trouble: Trouble) {
        locked(&self.state).troubles.push_back(trouble);
    }

    /// No more trouble waits.
    pub fn forget_troubles(&self) {
        locked(&self.state).troubles.clear();
    }

    /// All requests for tasks that came through, repeated ones too.
    pub fn requests(&self) -> Vec<RunTask> {
        locked(&self.state).requests.clone()
    }

    /// All tasks that ever were, by id.
    pub fn tasks(&self) -> Vec<TaskFacts> {
        locked(&self.state).tasks.values().cloned().collect()
    }

    /// What is so of a task.
    pub fn facts(&self, task: &TaskId) -> Option<TaskFacts> {
        locked(&self.state).tasks.get(task).cloned()
    }

    /// Whether a task's container runs.
    pub fn is_running(&self, task: &TaskId) -> bool {
        let runs =
            |facts: TaskFacts| matches!(facts.status, TaskStatus::Running | TaskStatus::Stopping);
        self.facts(task).is_some_and(runs)
    }

    /// Takes the events since the last time, in order.
    pub fn take_events(&self) -> Vec<TaskFacts> {
        std::mem::take(&mut locked(&self.state).events)
    }

    /// A task that is there without having been asked for here.
    pub fn adopt(&self, task: TaskId, started_by: &str, status: TaskStatus) -> TaskFacts {
        let mut state = locked(&self.state);
        state.place(task.clone(), started_by, self.clock.now());
        drop(state);
        self.advance(&task, status)
    }

    /// Moves a task on and gives the event. A stopped task stays so.
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

    /// The task ends by itself, for this cause.
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

    /// The provider takes the capacity back: the task still runs, but not for long.
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
        locked(&self.state).tasks.remove(task);
    }

    fn change(&self, task: &TaskId, change: impl FnOnce(&mut TaskFacts)) -> TaskFacts {
        let mut state = locked(&self.state);
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
        let mut state = locked(&self.state);
        state.requests.push(task.clone());
        if let Some(answer) = state.answers.get(&task.client_token) {
            return answer.clone().map_err(refusal);
        }
        let trouble = state.troubles.pop_front();
        match trouble {
            Some(Trouble::Throttled) => return Err(RunError::Throttled),
            Some(refused @ (Trouble::Capacity | Trouble::Refused)) => {
                state.answers.insert(task.client_token.clone(), Err(refused));
                return Err(refusal(refused));
            }
            Some(Trouble::LostAnswer) | None => {}
        }
        let id = TaskId::new(format!("task-{}", state.answers.len() + 1));
        state.place(id.clone(), &task.started_by, self.clock.now());
        state.answers.insert(task.client_token.clone(), Ok(id.clone()));
        match trouble {
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
            status: TaskStatus::Pending,
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

fn refusal(trouble: Trouble) -> RunError {
    match trouble {
        Trouble::Capacity => RunError::Capacity("no room".into()),
        Trouble::Refused => RunError::Refused("never possible".into()),
        Trouble::Throttled => RunError::Throttled,
        Trouble::LostAnswer => BackendError::new("running a task", "the answer was lost").into(),
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
