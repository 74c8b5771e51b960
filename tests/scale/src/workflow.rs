//! The executions: the real definition and interpreter, and the quotas of the service that runs them.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, Weak},
};

use asl::{
    Event, EventKind, Execution, Failure, Host, Machine, Millis, Outcome, Step, execution_of,
};
use async_trait::async_trait;
use domain::{
    Secret, SessionId, Timestamp,
    ports::{Answer, BackendError, Clock as _, Resume, Workflow},
};
use fastrand::Rng;
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    sync::Notify,
    time::{sleep, sleep_until, timeout_at},
};

use crate::{
    clock::VirtualClock,
    deployment::{CALL, Deployment},
    quotas::Quotas,
};

const DEFINITION: &str = include_str!("../../../statemachine/session.asl.json");

/// The executions that have not ended.
pub(crate) struct Executions {
    deployment: OnceLock<Weak<Deployment>>,
    clock: VirtualClock,
    quotas: Arc<Quotas>,
    machine: Machine,
    live: Mutex<BTreeMap<SessionId, Arc<Live>>>,
    counts: Mutex<ExecutionUse>,
}

/// What became of the executions in a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExecutionUse {
    pub(crate) started: u64,
    pub(crate) transitions: u64,
    /// Failed invocations by state and error.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Failed executions by error.
    pub(crate) failed: BTreeMap<String, u64>,
}

struct Live {
    execution: Mutex<Execution>,
    answered: Notify,
}

/// What the interpreter asks for, and what it says: each state that is entered and each retry is charged as a
/// transition.
struct Observer {
    rng: Rng,
    transitions: u64,
}

impl Host for Observer {
    fn random(&mut self) -> u64 {
        self.rng.u64(..)
    }

    fn record(&mut self, event: Event<'_>) {
        let charged =
            matches!(event.kind, EventKind::StateEntered { .. } | EventKind::RetryScheduled { .. });
        self.transitions += u64::from(charged);
    }
}

impl Executions {
    pub(crate) fn new(clock: VirtualClock, quotas: Arc<Quotas>) -> Self {
        let machine = Machine::parse(&handlers::Step::fill_in(DEFINITION))
            .expect("tests parse the definition");
        Self {
            deployment: OnceLock::new(),
            clock,
            quotas,
            machine,
            live: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    pub(crate) fn attach(&self, deployment: &Arc<Deployment>) {
        let _ = self.deployment.set(Arc::downgrade(deployment));
    }

    /// What became of the executions.
    pub(crate) fn used(&self) -> ExecutionUse {
        self.counts.lock().clone()
    }

    fn begin(&self, deployment: &Arc<Deployment>, session: SessionId) {
        let mut all = self.live.lock();
        if all.contains_key(&session) {
            return;
        }
        let input = json!({"sessionId": session});
        let execution =
            Execution::start(&self.machine, session.to_string(), input, millis(self.clock.now()));
        let live = Live { execution: Mutex::new(execution), answered: Notify::new() };
        let live = Arc::new(live);
        all.insert(session, Arc::clone(&live));
        drop(all);
        self.counts.lock().started += 1;
        tokio::spawn(drive(Arc::clone(deployment), live));
    }
}

/// Drives one execution to its end.
async fn drive(deployment: Arc<Deployment>, live: Arc<Live>) {
    let executions = Arc::clone(&deployment.executions);
    let mut observer = Observer { rng: deployment.rng(), transitions: 0 };
    loop {
        let answered = live.answered.notified();
        let now = millis(deployment.now());
        let step = live.execution.lock().step(&executions.machine, now, &mut observer);
        for _ in 0..std::mem::take(&mut observer.transitions) {
            executions.counts.lock().transitions += 1;
            while !executions.quotas.transitions.take() {
                sleep(CALL).await;
            }
        }
        match step {
            Step::Invoke(call) => {
                let until = at(deployment.clock, call.until);
                let step: handlers::Step = call.resource.parse().expect("tests check the names");
                let invoked = deployment
                    .run(step.name(), async |env| step.run(&env, call.input.clone()).await);
                let result = match timeout_at(until, invoked).await {
                    Err(_elapsed) => continue,
                    Ok(Err(_throttled)) => {
                        Err(Failure::new("Lambda.TooManyRequestsException", "throttled"))
                    }
                    Ok(Ok(result)) => {
                        result.map_err(|error| Failure::new(error.code().name(), error.to_string()))
                    }
                };
                if let Err(failure) = &result {
                    let what = format!("{} {}", call.task.state, failure.error_name());
                    *executions.counts.lock().errors.entry(what).or_default() += 1;
                }
                let _late = live.execution.lock().returned(&call.task, result);
            }
            Step::AwaitToken { until } | Step::Sleep { until } => {
                tokio::select! {
                    () = answered => {}
                    () = sleep_until(at(deployment.clock, until)) => {}
                }
            }
            Step::Done(outcome) => {
                let error = match outcome {
                    Outcome::Succeeded { .. } => return,
                    Outcome::Failed(failure) => failure.error_name().to_owned(),
                    Outcome::TimedOut => "States.Timeout".to_owned(),
                };
                *executions.counts.lock().failed.entry(error).or_default() += 1;
                return;
            }
        }
    }
}

fn at(clock: VirtualClock, time: Millis) -> tokio::time::Instant {
    clock.instant(Timestamp::from_millis(time.0))
}

fn millis(time: Timestamp) -> Millis {
    Millis(time.millis())
}

#[async_trait]
impl Workflow for Executions {
    async fn start(&self, session: SessionId) -> Result<(), BackendError> {
        sleep(CALL).await;
        if !self.quotas.start_execution.take() {
            return Err(BackendError::new("starting an execution", "throttled"));
        }
        if let Some(deployment) = self.deployment.get().and_then(Weak::upgrade) {
            self.begin(&deployment, session);
        }
        Ok(())
    }

    async fn resume(
        &self,
        token: &Secret<String>,
        answer: Answer<'_>,
    ) -> Result<Resume, BackendError> {
        sleep(CALL).await;
        if !self.quotas.send_task_success.take() {
            return Err(BackendError::new("resuming an execution", "throttled"));
        }
        let session = execution_of(token.expose()).and_then(|name| name.parse().ok());
        let live =
            session.and_then(|session: SessionId| self.live.lock().get(&session).map(Arc::clone));
        let Some(live) = live else { return Ok(Resume::NotWaiting) };
        let result = match answer {
            Answer::Output(output) => Ok(serde_json::from_str(output)
                .map_err(|error| BackendError::new("resuming an execution", error))?),
            Answer::Error(name) => Err(Failure::new(name, "")),
        };
        let answered = live.execution.lock().answered(token.expose(), result);
        live.answered.notify_waiters();
        Ok(if answered.is_ok() { Resume::Resumed } else { Resume::NotWaiting })
    }
}
