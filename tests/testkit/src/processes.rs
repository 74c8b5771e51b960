//! Processes of all tasks in memory.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    TaskId,
    ports::{Processes, ProcessesError},
    process::{Process, ProcessId, ProcessList},
};
use parking_lot::Mutex;

use crate::Gate;

/// Processes that every task sees. A signal ends them, except 19, which the shell refuses.
#[derive(Debug)]
pub struct MemoryProcesses {
    gate: Arc<Gate>,
    processes: Mutex<Vec<Process>>,
    is_interrupted: Mutex<bool>,
}

impl MemoryProcesses {
    /// No processes.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, processes: Mutex::default(), is_interrupted: Mutex::default() }
    }

    /// Adds a process.
    pub fn put(&self, process: Process) {
        self.processes.lock().push(process);
    }

    /// From now on the shell ends every request without an answer.
    pub fn interrupt(&self) {
        *self.is_interrupted.lock() = true;
    }

    fn check(&self) -> Result<(), ProcessesError> {
        if *self.is_interrupted.lock() { Err(ProcessesError::Interrupted) } else { Ok(()) }
    }
}

#[async_trait]
impl Processes for MemoryProcesses {
    async fn list(&self, _task: &TaskId) -> Result<ProcessList, ProcessesError> {
        let listed = self.gate.pass("listing processes", || {
            self.check()?;
            Ok(ProcessList { processes: self.processes.lock().clone(), truncated: false })
        });
        listed.await?
    }

    async fn signal(
        &self,
        _task: &TaskId,
        ProcessId { pid, started_at }: ProcessId,
        signal: i32,
    ) -> Result<(), ProcessesError> {
        const STOP: i32 = 19;
        let signalled = self.gate.pass("signalling a process", || {
            self.check()?;
            let mut processes = self.processes.lock();
            let is_meant = |process: &Process| {
                process.pid == pid && started_at.is_none_or(|at| at == process.started_at)
            };
            if !processes.iter().any(is_meant) {
                return Err(ProcessesError::NoSuchProcess);
            }
            if signal == STOP {
                return Err(ProcessesError::Refused("refused".to_owned()));
            }
            processes.retain(|process| !is_meant(process));
            Ok(())
        });
        signalled.await?
    }
}
