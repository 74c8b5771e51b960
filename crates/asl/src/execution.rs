//! One run of a machine: its data, and the doors through which answers come in.

mod step;
mod task;
mod token;

use crate::{Event, Failure, Millis};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
pub use token::execution_of;

/// What the interpreter needs from its driver while it steps.
pub trait Host {
    /// 64 random bits. Task tokens and jitter are made of them, so the source must be one that
    /// nobody can predict.
    fn random(&mut self) -> u64;

    /// Keeps an entry of the history. The default drops it.
    fn record(&mut self, _event: Event) {}
}

/// The whole state of one run, as plain data. Store it after each change; a copy read back goes on
/// at the same place. `Debug` shows neither payloads nor tokens.
#[derive(Clone, Serialize, Deserialize)]
pub struct Execution {
    name: String,
    input: Value,
    started_at: Millis,
    /// Task attempts begun so far; the number of the current one is in its token.
    attempts: u64,
    /// Entries of the history so far.
    events: u32,
    doing: Doing,
}

#[derive(Clone, Serialize, Deserialize)]
enum Doing {
    /// Between two states.
    Entering {
        state: String,
        input: Value,
    },
    Waiting {
        visit: Visit,
        until: Millis,
    },
    Working {
        visit: Visit,
        attempt: Attempt,
    },
    Retrying {
        visit: Visit,
        until: Millis,
    },
    Done(Outcome),
}

/// One stay in a state.
#[derive(Clone, Serialize, Deserialize)]
struct Visit {
    state: String,
    /// The raw input.
    input: Value,
    entered_at: Millis,
    /// How often each retrier was used in this visit.
    retries: Vec<u32>,
}

/// One attempt of a task.
#[derive(Clone, Serialize, Deserialize)]
struct Attempt {
    number: u64,
    resource: String,
    input: Value,
    token: Option<String>,
    /// The resource took the token, so it need not be called again.
    submitted: bool,
    deadline: Millis,
    heartbeat: Option<Heartbeat>,
    answer: Option<Result<Value, Failure>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Heartbeat {
    every_seconds: u64,
    due: Millis,
}

/// What the driver has to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Call the resource and hand its answer to [`Execution::returned`]. The same invocation is
    /// given again until its answer is there (at least once); a driver that is at it already skips
    /// those of the same [`TaskRef`].
    Invoke(Invocation),
    /// The resource has the token: wait for [`Execution::answered`], and step again at `until`.
    AwaitToken { until: Millis },
    /// Step again at `until`.
    Sleep { until: Millis },
    /// It is over.
    Done(Outcome),
}

/// A call of a resource.
#[derive(Clone, PartialEq)]
pub struct Invocation {
    /// Names the attempt; goes back with the answer.
    pub task: TaskRef,
    /// The `Resource`, or the function that the optimized Lambda integration names.
    pub resource: String,
    /// What the resource gets. It may hold the task token.
    pub input: Value,
    /// The secret with which the answer comes later, through [`Execution::answered`]. The resource's
    /// own result is ignored then, but its failure fails the task.
    pub token: Option<String>,
    /// When to step again if there is no answer: the task times out.
    pub until: Millis,
}

/// One attempt of a task, the same each time it is given out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskRef {
    /// The execution's name.
    pub execution: String,
    /// The state's name.
    pub state: String,
    /// Counts all attempts of the execution, from 1.
    pub attempt: u64,
}

/// How an execution ended.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A state with `End` or a Succeed state was reached.
    Succeeded { output: Value },
    /// A Fail state, or an error that nothing caught.
    Failed(Failure),
    /// The machine's own `TimeoutSeconds` passed.
    TimedOut,
}

/// The answer belongs to an attempt that is over, or that has its answer. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task is not waiting for this answer")]
pub struct Late;

impl Execution {
    /// The execution's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The state it is in; `None` before the first and after the last.
    pub fn state(&self) -> Option<&str> {
        match &self.doing {
            Doing::Waiting { visit, .. }
            | Doing::Working { visit, .. }
            | Doing::Retrying { visit, .. } => Some(&visit.state),
            Doing::Entering { .. } | Doing::Done(_) => None,
        }
    }

    /// Takes what the called resource returned. For a task that waits for its token, a result only
    /// says that the resource took the token.
    ///
    /// # Errors
    /// [`Late`] if that attempt is over.
    pub fn returned(&mut self, task: &TaskRef, result: Result<Value, Failure>) -> Result<(), Late> {
        let here = task.execution == self.name && self.state() == Some(&task.state);
        let current = |attempt: &Attempt| attempt.number == task.attempt && !attempt.submitted;
        let attempt = self.waiting(|attempt| here && current(attempt))?;
        if attempt.token.is_some() && result.is_ok() {
            attempt.submitted = true;
        } else {
            attempt.answer = Some(result);
        }
        Ok(())
    }

    /// Takes the answer that came with a task token, whether or not the call returned already.
    ///
    /// # Errors
    /// [`Late`] if the token is not that of the current attempt.
    pub fn answered(&mut self, token: &str, result: Result<Value, Failure>) -> Result<(), Late> {
        let attempt = self.waiting(|attempt| attempt.token.as_deref() == Some(token))?;
        attempt.answer = Some(result);
        Ok(())
    }

    /// Takes a heartbeat that came with a task token. A task without a token can't send any, so it
    /// must answer within its `HeartbeatSeconds`.
    ///
    /// # Errors
    /// [`Late`] if the token is not that of the current attempt.
    pub fn heartbeat(&mut self, token: &str, now: Millis) -> Result<(), Late> {
        let attempt = self.waiting(|attempt| attempt.token.as_deref() == Some(token))?;
        if let Some(heartbeat) = &mut attempt.heartbeat {
            heartbeat.due = now.plus_seconds(heartbeat.every_seconds);
        }
        Ok(())
    }

    /// The current attempt, if it is the one meant and has no answer yet.
    fn waiting(&mut self, meant: impl Fn(&Attempt) -> bool) -> Result<&mut Attempt, Late> {
        let Doing::Working { attempt, .. } = &mut self.doing else { return Err(Late) };
        if attempt.answer.is_none() && meant(attempt) { Ok(attempt) } else { Err(Late) }
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match &self.doing {
            Doing::Entering { .. } => "entering",
            Doing::Waiting { .. } => "waiting",
            Doing::Working { .. } => "working",
            Doing::Retrying { .. } => "retrying",
            Doing::Done(_) => "done",
        };
        f.debug_struct("Execution")
            .field("name", &self.name)
            .field("state", &self.state())
            .field("doing", &doing)
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
