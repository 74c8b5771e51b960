//! An execution of a state machine: its stored data, and the methods that accept task answers.

mod context;
mod step;
mod task;
mod time;
mod token;

use crate::limits::{LimitError, drop_deep, measure};
use crate::{Event, Failure, Millis};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
pub use token::execution_of;

/// The services that the interpreter needs from its driver while it steps.
pub trait Host {
    /// Returns 64 random bits. Task tokens and retry jitter are derived from them, so the source
    /// must be unpredictable.
    fn random(&mut self) -> u64;

    /// Records an event of the execution's history. The default implementation discards it.
    fn record(&mut self, _event: Event<'_>) {}
}

/// The complete state of one execution, as plain data. Store it after each change; a stored copy
/// continues at the same place. `Debug` shows neither payloads nor tokens.
#[derive(Clone, Serialize, Deserialize)]
pub struct Execution {
    name: String,
    input: Value,
    started_at: Millis,
    /// The number of task attempts begun so far; the current attempt's number is in its token.
    attempts: u64,
    /// The id of the last event, counted from 1 as in AWS's history.
    events: u32,
    #[serde(rename = "doing")]
    phase: Phase,
}

/// The current activity of an execution.
#[derive(Clone, Serialize, Deserialize)]
enum Phase {
    /// The next step enters this state.
    Entering { state: String, input: Value },
    /// A Wait state waits until a point in time.
    Waiting { visit: Visit, until: Millis },
    /// A Task state waits for the answer to an attempt.
    Working { visit: Visit, attempt: Attempt },
    /// A Task state waits for its next attempt.
    Retrying { visit: Visit, until: Millis },
    /// The execution is over.
    Done(Outcome),
}

/// One stay in a state, from its entry to its exit.
#[derive(Clone, Serialize, Deserialize)]
struct Visit {
    state: String,
    /// The raw input.
    input: Value,
    entered_at: Millis,
    /// The id of the event with which the state was entered.
    #[serde(default)]
    entered_event: u32,
    /// The number of retries per retrier during this visit.
    retries: Vec<u32>,
}

/// One attempt of a task.
#[derive(Clone, Serialize, Deserialize)]
struct Attempt {
    number: u64,
    resource: String,
    input: Value,
    token: Option<String>,
    /// Whether the resource accepted the token; if so, the driver need not call it again.
    submitted: bool,
    deadline: Millis,
    heartbeat: Option<Heartbeat>,
    answer: Option<Answer>,
}

/// The answer to an attempt.
#[derive(Clone, Serialize, Deserialize)]
enum Answer {
    Ok(Value),
    Err(Failure),
    /// The result exceeded a limit and was dropped.
    Exceeded(LimitError),
}

impl Answer {
    /// Stores a result only within the limits, so that a stored execution can be read back.
    fn new(result: Result<Value, Failure>) -> Self {
        match result {
            Err(failure) => Self::Err(failure),
            Ok(value) => match measure(&value) {
                Ok(_) => Self::Ok(value),
                Err(limit) => {
                    drop_deep(value);
                    Self::Exceeded(limit)
                }
            },
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Heartbeat {
    every_seconds: u64,
    due: Millis,
}

/// The next action for the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Call the resource and pass its answer to [`Execution::returned`]. The same invocation is
    /// returned until its answer has arrived (at-least-once); a driver skips an invocation whose
    /// [`TaskRef`] it is already executing.
    Invoke(Invocation),
    /// The resource has accepted the token: wait for [`Execution::answered`], or step again at
    /// `until`.
    AwaitToken { until: Millis },
    /// Step again at `until`.
    Sleep { until: Millis },
    /// The execution is over.
    Done(Outcome),
}

/// A call of a resource.
#[derive(Clone, PartialEq)]
pub struct Invocation {
    /// Identifies the attempt; the driver passes it back with the answer.
    pub task: TaskRef,
    /// The `Resource`, or the function that the optimized Lambda integration names.
    pub resource: String,
    /// The input of the resource. It may contain the task token.
    pub input: Value,
    /// The secret that authorizes a later answer through [`Execution::answered`]. If there is a
    /// token, the resource's own result is ignored, but its failure fails the task.
    pub token: Option<String>,
    /// The time at which to step again if there is no answer; the task times out then.
    pub until: Millis,
}

/// Identifies one attempt of a task; equal for every repetition of the same invocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskRef {
    /// The execution's name.
    pub execution: String,
    /// The state's name.
    pub state: String,
    /// The number of the attempt, counted over the whole execution from 1.
    pub attempt: u64,
}

/// The result of an execution.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The execution left a state with `End`, or a Succeed state.
    Succeeded { output: Value },
    /// The execution entered a Fail state, or an error was not caught.
    Failed(Failure),
    /// The machine's own `TimeoutSeconds` elapsed.
    TimedOut,
}

/// The answer belongs to an attempt that is over or already has an answer. The execution is
/// unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task attempt is over or already has an answer")]
pub struct StaleAnswerError;

impl Execution {
    /// The execution's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the current state; `None` before the first and after the last state.
    pub fn state(&self) -> Option<&str> {
        match &self.phase {
            Phase::Waiting { visit, .. }
            | Phase::Working { visit, .. }
            | Phase::Retrying { visit, .. } => Some(&visit.state),
            Phase::Entering { .. } | Phase::Done(_) => None,
        }
    }

    /// Accepts the result of a called resource. If the task waits for its token, a successful result
    /// only means that the resource accepted the token.
    ///
    /// # Errors
    /// [`StaleAnswerError`] if the attempt is over.
    pub fn returned(
        &mut self,
        task: &TaskRef,
        result: Result<Value, Failure>,
    ) -> Result<(), StaleAnswerError> {
        let answer = Answer::new(result);
        let same_state = task.execution == self.name && self.state() == Some(&task.state);
        let current = |attempt: &Attempt| attempt.number == task.attempt && !attempt.submitted;
        let attempt = self.open_attempt(|attempt| same_state && current(attempt))?;
        if attempt.token.is_some() && !matches!(answer, Answer::Err(_)) {
            attempt.submitted = true;
            self.events += 1; // AWS records `TaskSubmitted`.
        } else {
            attempt.answer = Some(answer);
        }
        Ok(())
    }

    /// Accepts the answer authorized by a task token, before or after the call has returned
    /// (`SendTaskSuccess` and `SendTaskFailure` on AWS).
    ///
    /// # Errors
    /// [`StaleAnswerError`] if the token is not that of the current attempt.
    pub fn answered(
        &mut self,
        token: &str,
        result: Result<Value, Failure>,
    ) -> Result<(), StaleAnswerError> {
        let answer = Answer::new(result);
        let attempt = self.open_attempt(|attempt| attempt.token.as_deref() == Some(token))?;
        attempt.answer = Some(answer);
        Ok(())
    }

    /// Accepts a heartbeat authorized by a task token (`SendTaskHeartbeat` on AWS). A task without a
    /// token can't send heartbeats, so it must answer within its `HeartbeatSeconds`.
    ///
    /// # Errors
    /// [`StaleAnswerError`] if the token is not that of the current attempt.
    pub fn heartbeat(&mut self, token: &str, now: Millis) -> Result<(), StaleAnswerError> {
        let attempt = self.open_attempt(|attempt| attempt.token.as_deref() == Some(token))?;
        if let Some(heartbeat) = &mut attempt.heartbeat {
            heartbeat.due = now.plus_seconds(heartbeat.every_seconds);
        }
        Ok(())
    }

    /// The current attempt, if it is unanswered and `is_meant` accepts it.
    fn open_attempt(
        &mut self,
        is_meant: impl Fn(&Attempt) -> bool,
    ) -> Result<&mut Attempt, StaleAnswerError> {
        let Phase::Working { attempt, .. } = &mut self.phase else { return Err(StaleAnswerError) };
        let is_open = attempt.answer.is_none() && is_meant(attempt);
        if is_open { Ok(attempt) } else { Err(StaleAnswerError) }
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Entering { .. } => "entering",
            Phase::Waiting { .. } => "waiting",
            Phase::Working { .. } => "working",
            Phase::Retrying { .. } => "retrying",
            Phase::Done(_) => "done",
        };
        f.debug_struct("Execution")
            .field("name", &self.name)
            .field("state", &self.state())
            .field("phase", &phase)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("task", &self.task)
            .field("resource", &self.resource)
            .field("waits_for_token", &self.token.is_some())
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded { .. } => f.write_str("Succeeded"),
            Self::Failed(failure) => f.debug_tuple("Failed").field(failure).finish(),
            Self::TimedOut => f.write_str("TimedOut"),
        }
    }
}

#[cfg(test)]
mod tests;
