//! Executions of the state machine as records only, unless a test attaches an interpreter.

use std::{collections::HashSet, fmt, sync::Arc};

use async_trait::async_trait;
use domain::{
    Secret, SessionId,
    ports::{Answer, BackendError, Resume, Workflow},
};
use parking_lot::Mutex;

use crate::Gate;

type OnResume = Box<dyn Fn(&str, Answer<'_>) -> Resume + Send + Sync>;

/// Records which executions were started and which tokens were resumed. A token can be resumed once.
pub struct MemoryWorkflow {
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    on_resume: Option<OnResume>,
    known: HashSet<SessionId>,
    started: Vec<SessionId>,
    resumed: Vec<(String, String)>,
    used_tokens: HashSet<String>,
}

impl MemoryWorkflow {
    /// Without executions.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, state: Mutex::default() }
    }

    /// Takes the sessions whose execution was started; each appears once, however often it was started.
    pub fn take_started(&self) -> Vec<SessionId> {
        std::mem::take(&mut self.state.lock().started)
    }

    /// Takes the tokens that were resumed, each with the output or the name of the error, in order.
    pub fn take_resumed(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.state.lock().resumed)
    }

    /// From now on `on_resume` handles every resumed token and its answer.
    pub fn resume_with(
        &self,
        on_resume: impl Fn(&str, Answer<'_>) -> Resume + Send + Sync + 'static,
    ) {
        self.state.lock().on_resume = Some(Box::new(on_resume));
    }

    /// Forgets the execution of this session: another one may be started.
    pub fn forget(&self, session: SessionId) {
        self.state.lock().known.remove(&session);
    }
}

#[async_trait]
impl Workflow for MemoryWorkflow {
    async fn start(&self, session: SessionId) -> Result<(), BackendError> {
        self.gate
            .pass("starting an execution", || {
                let mut state = self.state.lock();
                if state.known.insert(session) {
                    state.started.push(session);
                }
            })
            .await
    }

    async fn resume(
        &self,
        token: &Secret<String>,
        answer: Answer<'_>,
    ) -> Result<Resume, BackendError> {
        self.gate
            .pass("resuming an execution", || {
                let mut state = self.state.lock();
                if let Some(on_resume) = &state.on_resume {
                    return on_resume(token.expose(), answer);
                }
                if !state.used_tokens.insert(token.expose().clone()) {
                    return Resume::NotWaiting;
                }
                let (Answer::Output(told) | Answer::Error(told)) = answer;
                state.resumed.push((token.expose().clone(), told.to_owned()));
                Resume::Resumed
            })
            .await
    }
}

impl fmt::Debug for MemoryWorkflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWorkflow").finish_non_exhaustive()
    }
}
