//! What all tests share: the ports in memory, fixtures, and the conformance suites that every
//! implementation of a port must pass.
//!
//! The fakes keep the contracts of the ports, including what a failed call may have done. Time and
//! events move only when a test moves them.

mod changes;
mod clock;
mod compute;
pub mod conformance;
mod fakes;
mod files;
mod fixtures;
mod gate;
mod ids;
mod invariant;
mod processes;
mod queue;
mod real;
mod shell;
mod store;
mod transfers;
mod transitions;
mod webhooks;
mod workflow;

pub use changes::MemoryChanges;
pub use clock::SimClock;
pub use compute::{MemoryCompute, RunFault};
pub use fakes::Fakes;
pub use files::MemoryFiles;
pub use fixtures::{command, job_id, kind, session_id, spec, task_id, user_id};
pub use gate::{FaultPoint, Gate};
pub use ids::SeqIds;
pub use invariant::Invariant;
pub use processes::MemoryProcesses;
pub use queue::{HeldMessage, MemoryQueue};
pub use real::RealRunner;
pub use shell::{MemoryShell, Script};
pub use store::{Change, MemoryStore};
pub use transfers::MemoryTransfers;
pub use transitions::{admit, finish, provision};
pub use webhooks::MemoryWebhooks;
pub use workflow::MemoryWorkflow;
