//! The executions that drive sessions, interpreted in this process.
//!
//! An execution is stored after each step, without waiting for the disk. A crash may lose the last
//! step, which is then repeated: every handler may run twice. It loses no more than that, because
//! writes keep their order: if a handler's commit is on disk, so is the step before it.
//! An execution that waits takes its data and one timer in memory, and no asynchronous task.

use std::{fmt, sync::Arc};

use asl::{Execution, Host, Invocation, Machine, Millis, Outcome, Step, execution_of};
use async_trait::async_trait;
use domain::{
    Secret, SessionId, Timestamp,
    ports::{Answer, BackendError, Clock, Ids, Resume, Workflow},
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{sync::Notify, time::timeout};

use crate::{
    engine::Invoker,
    executions::{self, Executions},
};

mod definition;
mod live;

use live::Live;

/// The executions of the session machine. The engine drives them by [`AslWorkflow::take`] and
/// [`AslWorkflow::drive`].
pub struct AslWorkflow {
    machine: Machine,
    executions: Executions,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    live: Mutex<Live>,
    woken: Notify,
}

impl AslWorkflow {
    /// Loads the executions that an earlier process stored. Each is stepped once, to find its timer.
    pub async fn open(
        executions: Executions,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Self, BackendError> {
        let mut live = Live::default();
        for stored in executions.all_open().await? {
            let session = stored.session;
            match serde_json::from_str(&stored.json) {
                Ok(execution) => live.insert(session, execution),
                // The sweep reconciles the session when it is due, and starts an execution or ends it.
                Err(error) => {
                    tracing::error!(
                        session.id = %session,
                        %error,
                        "failed to read the stored execution of session {session}; the sweep takes the \
                         session up when it is due"
                    );
                }
            }
        }
        let live = Mutex::new(live);
        let machine = definition::machine();
        Ok(Self { machine, executions, clock, ids, live, woken: Notify::new() })
    }

    /// Makes the executions runnable whose timers are due.
    pub fn fire(&self) {
        let now = self.clock.now();
        self.live.lock().fire(now);
    }

    /// Takes a runnable execution, for [`AslWorkflow::drive`]. It is not given out again meanwhile.
    pub fn take(&self) -> Option<SessionId> {
        self.live.lock().take()
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.live.lock().next_timer()
    }

    /// Returns when an execution has become runnable since the last call.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// How many executions have not ended.
    pub fn count(&self) -> usize {
        self.live.lock().count()
    }

    /// Drives an execution that was taken, until it waits or has ended.
    pub async fn drive(&self, session: SessionId, invoker: &Invoker) {
        while let Some(step) = self.step(session) {
            match step {
                Step::Invoke(call) => self.call(session, call, invoker).await,
                Step::AwaitToken { until } | Step::Sleep { until } => {
                    if self.live.lock().wait(session, timestamp(until)) {
                        return;
                    }
                }
                Step::Done(outcome) => return self.end(session, &outcome, invoker).await,
            }
        }
    }

    fn step(&self, session: SessionId) -> Option<Step> {
        let now = self.now();
        let mut live = self.live.lock();
        let execution = live.get(session)?;
        let step = execution.step(&self.machine, now, &mut RandomHost(self.ids.as_ref()));
        let json = serde_json::to_string(execution).expect("an execution is plain data");
        let wake_at = match &step {
            Step::AwaitToken { until } | Step::Sleep { until } => Some(timestamp(*until)),
            Step::Invoke(_) | Step::Done(_) => None,
        };
        self.executions.put(executions::Execution { session, wake_at, json });
        Some(step)
    }

    async fn call(&self, session: SessionId, call: Invocation, invoker: &Invoker) {
        let Invocation { task, resource, input, until, .. } = call;
        let handler: handlers::Step =
            resource.parse().expect("the definition was checked when loaded");
        let remaining = timestamp(until).since(self.clock.now());
        // A handler that takes too long is dropped. The next step of the execution finds it timed out.
        let Ok(result) = timeout(remaining, invoker.run(handler, input)).await else { return };
        let result =
            result.map_err(|error| asl::Failure::new(error.code().name(), error.to_string()));
        if let Some(execution) = self.live.lock().get(session) {
            // An error means that the task token was answered before the handler returned.
            let _answered_before = execution.returned(&task, result);
        }
    }

    /// Removes an execution that has ended. If it failed, its session is closed; if that fails too, the
    /// sweep closes the session.
    async fn end(&self, session: SessionId, outcome: &Outcome, invoker: &Invoker) {
        let error = match outcome {
            Outcome::Succeeded { .. } => None,
            Outcome::Failed(failure) => Some(failure.error_name()),
            Outcome::TimedOut => Some("States.Timeout"),
        };
        if let Some(error) = error {
            tracing::error!(
                session.id = %session,
                error,
                "the execution of session {session} failed: {error}; closing the session"
            );
            let input = json!({"sessionId": session, "error": error});
            // The invoker has logged it.
            let _left_to_the_sweep = invoker.run(handlers::Step::CloseSession, input).await;
        }
        self.executions.delete(session);
        self.live.lock().remove(session);
    }

    fn now(&self) -> Millis {
        Millis(self.clock.now().millis())
    }
}

#[async_trait]
impl Workflow for AslWorkflow {
    async fn start(&self, session: SessionId) -> Result<(), BackendError> {
        let mut live = self.live.lock();
        if live.get(session).is_none() {
            let input = json!({"sessionId": session});
            let name = session.to_string();
            live.insert(session, Execution::start(&self.machine, name, input, self.now()));
            self.woken.notify_one();
        }
        Ok(())
    }

    async fn resume(
        &self,
        token: &Secret<String>,
        answer: Answer<'_>,
    ) -> Result<Resume, BackendError> {
        let result = match answer {
            Answer::Output(output) => Ok(serde_json::from_str(output)
                .map_err(|e| BackendError::new("reading an answer", e))?),
            Answer::Error(name) => Err(asl::Failure::new(name, "")),
        };
        let session = execution_of(token.expose()).and_then(|name| name.parse().ok());
        let Some(session) = session else { return Ok(Resume::NotWaiting) };
        let mut live = self.live.lock();
        let Some(execution) = live.get(session) else { return Ok(Resume::NotWaiting) };
        if execution.answered(token.expose(), result).is_err() {
            return Ok(Resume::NotWaiting);
        }
        live.wake(session);
        self.woken.notify_one();
        Ok(Resume::Resumed)
    }
}

fn timestamp(at: Millis) -> Timestamp {
    Timestamp::from_millis(at.0)
}

impl fmt::Debug for AslWorkflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AslWorkflow").field("executions", &self.count()).finish_non_exhaustive()
    }
}

struct RandomHost<'a>(&'a dyn Ids);

impl Host for RandomHost<'_> {
    fn random(&mut self) -> u64 {
        let bytes = self.0.secret(size_of::<u64>());
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests;
