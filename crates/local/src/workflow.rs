//! The executions that drive sessions, interpreted here.
//!
//! An execution is stored after each step by a write that nobody waits for. To lose the last one in
//! a crash does no harm: the step is done again, and every handler may run twice. More can't be lost,
//! for the writes keep their order: where a handler's commit survives, so does the step before it.
//! In memory an execution that waits is its data and one timer; no task sleeps for it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use asl::{Execution, Host, Invocation, Machine, Millis, Outcome, Step, execution_of};
use async_trait::async_trait;
use domain::{
    Secret, SessionId, Timestamp,
    ports::{BackendError, Clock, Ids, Resume, Workflow},
};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};

use crate::{
    engine::Invoker,
    executions::{self, Executions},
};

mod definition;
mod live;

use live::Live;

/// Runs the session machine. It only keeps the books; the engine lends it its hands.
pub struct AslWorkflow {
    machine: Machine,
    executions: Executions,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    live: Mutex<Live>,
    woken: Notify,
}

impl AslWorkflow {
    /// Takes up the executions that a process before this one left. All are looked at once.
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
                // The session's record is due some time; then it gets a new one or its end.
                Err(error) => {
                    tracing::error!(session.id = %session, %error, "an execution can't be read");
                }
            }
        }
        let live = Mutex::new(live);
        let machine = definition::machine();
        Ok(Self { machine, executions, clock, ids, live, woken: Notify::new() })
    }

    /// Wakes the executions whose time has come.
    pub fn fire(&self) {
        let now = self.clock.now();
        self.live().fire(now);
    }

    /// An execution that can go on, for [`AslWorkflow::drive`]. Nobody else gets it meanwhile.
    pub fn take(&self) -> Option<SessionId> {
        self.live().take()
    }

    /// When the next timer fires.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.live().next_timer()
    }

    /// Returns when an execution has become able to go on since this returned last.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// How many executions are not over.
    pub fn count(&self) -> usize {
        self.live().count()
    }

    /// Goes on with an execution that was taken, until it waits or is over.
    pub async fn drive(&self, session: SessionId, invoker: &Invoker) {
        while let Some(step) = self.step(session) {
            match step {
                Step::Invoke(call) => self.call(session, call, invoker).await,
                Step::AwaitToken { until } | Step::Sleep { until } => {
                    if self.live().rest(session, moment(until)) {
                        return;
                    }
                }
                Step::Done(outcome) => return self.end(session, &outcome, invoker).await,
            }
        }
    }

    fn step(&self, session: SessionId) -> Option<Step> {
        let now = self.now();
        let mut live = self.live();
        let execution = live.get(session)?;
        let step = execution.step(&self.machine, now, &mut Chance(self.ids.as_ref()));
        let json = serde_json::to_string(execution).expect("an execution is plain data");
        let wake_at = match &step {
            Step::AwaitToken { until } | Step::Sleep { until } => Some(moment(*until)),
            Step::Invoke(_) | Step::Done(_) => None,
        };
        self.executions.put(executions::Execution { session, wake_at, json });
        Some(step)
    }

    async fn call(&self, session: SessionId, call: Invocation, invoker: &Invoker) {
        let Invocation { task, resource, input, until, .. } = call;
        let handler: handlers::Step =
            resource.parse().expect("the definition was checked when loaded");
        let left = moment(until).since(self.clock.now());
        // A handler that takes too long is dropped where it stands. The next step finds it late.
        let Ok(result) = timeout(left, invoker.run(handler, input)).await else { return };
        let result =
            result.map_err(|error| asl::Failure::new(error.code().name(), error.to_string()));
        if let Some(execution) = self.live().get(session) {
            // Late is what the answer to a token makes of a result that comes after it.
            let _late = execution.returned(&task, result);
        }
    }

    /// An execution that failed as a whole closes its session all the same. Should that fail too, the
    /// sweep is left to do it.
    async fn end(&self, session: SessionId, outcome: &Outcome, invoker: &Invoker) {
        let error = match outcome {
            Outcome::Succeeded { .. } => None,
            Outcome::Failed(failure) => Some(failure.error_name()),
            Outcome::TimedOut => Some("States.Timeout"),
        };
        if let Some(error) = error {
            tracing::error!(session.id = %session, error, "an execution failed: {error}");
            let input = json!({"sessionId": session, "error": error});
            // The invoker has logged it.
            let _left_to_the_sweep = invoker.run(handlers::Step::CloseSession, input).await;
        }
        self.executions.delete(session);
        self.live().remove(session);
    }

    fn now(&self) -> Millis {
        Millis(self.clock.now().millis())
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Workflow for AslWorkflow {
    async fn start(&self, session: SessionId) -> Result<(), BackendError> {
        let mut live = self.live();
        if live.get(session).is_none() {
            let input = json!({"sessionId": session});
            let name = session.to_string();
            live.insert(session, Execution::start(&self.machine, name, input, self.now()));
            self.woken.notify_one();
        }
        Ok(())
    }

    async fn resume(&self, token: &Secret<String>, output: &str) -> Result<Resume, BackendError> {
        let output: Value =
            serde_json::from_str(output).map_err(|e| BackendError::new("reading an answer", e))?;
        let session = execution_of(token.expose()).and_then(|name| name.parse().ok());
        let Some(session) = session else { return Ok(Resume::NotWaiting) };
        let mut live = self.live();
        let Some(execution) = live.get(session) else { return Ok(Resume::NotWaiting) };
        if execution.answered(token.expose(), Ok(output)).is_err() {
            return Ok(Resume::NotWaiting);
        }
        live.wake(session);
        self.woken.notify_one();
        Ok(Resume::Resumed)
    }
}

fn moment(at: Millis) -> Timestamp {
    Timestamp::from_millis(at.0)
}

impl fmt::Debug for AslWorkflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AslWorkflow").field("executions", &self.count()).finish_non_exhaustive()
    }
}

struct Chance<'a>(&'a dyn Ids);

impl Host for Chance<'_> {
    fn random(&mut self) -> u64 {
        let bytes = self.0.secret(size_of::<u64>());
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests;
