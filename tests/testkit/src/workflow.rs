//! Executions that exist only as a note, unless a test brings its own.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use domain::{
    Secret, SessionId,
    ports::{BackendError, Resume, Workflow},
};

use crate::{Gate, gate::locked};

type Bell = Box<dyn Fn(&str, &str) -> Resume + Send + Sync>;

/// Notes what was started and rung. A token waits until it is rung or hung up.
pub struct MemoryWorkflow {
    gate: Arc<Gate>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bell: Option<Bell>,
    known: HashSet<SessionId>,
    started: Vec<SessionId>,
    resumed: Vec<(String, String)>,
    over: HashSet<String>,
}

impl MemoryWorkflow {
    /// Nothing started.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, state: Mutex::default() }
    }

    /// Takes the sessions whose execution began; each appears once, however often it was started.
    pub fn take_started(&self) -> Vec<SessionId> {
        std::mem::take(&mut locked(&self.state).started)
    }

    /// Takes the tokens that were rung, with the outputs, in order.
    pub fn take_resumed(&self) -> Vec<(String, String)> {
        std::mem::take(&mut locked(&self.state).resumed)
    }

    /// From now on this answers for the tokens: it gets the token and the output.
    pub fn answer_with(&self, bell: impl Fn(&str, &str) -> Resume + Send + Sync + 'static) {
        locked(&self.state).bell = Some(Box::new(bell));
    }

    /// The execution of this session is forgotten: another one may begin.
    pub fn forget(&self, session: SessionId) {
        locked(&self.state).known.remove(&session);
    }

    /// Nobody waits with this token any more: a timeout, or the execution is over.
    pub fn hang_up(&self, token: &str) {
        locked(&self.state).over.insert(token.to_owned());
    }
}

#[async_trait]
impl Workflow for MemoryWorkflow {
    async fn start(&self, session: SessionId) -> Result<(), BackendError> {
        self.gate
            .pass("starting an execution", || {
                let mut state = locked(&self.state);
                if state.known.insert(session) {
                    state.started.push(session);
                }
            })
            .await
    }

    async fn resume(&self, token: &Secret<String>, output: &str) -> Result<Resume, BackendError> {
        self.gate
            .pass("resuming an execution", || {
                let mut state = locked(&self.state);
                if let Some(bell) = &state.bell {
                    return bell(token.expose(), output);
                }
                if !state.over.insert(token.expose().clone()) {
                    return Resume::Late;
                }
                state.resumed.push((token.expose().clone(), output.to_owned()));
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
