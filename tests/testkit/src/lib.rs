//! Everything that tests share: the ports in memory, fixtures, and the suites that every
//! implementation of a port must pass.
//!
//! The fakes are honest: they keep to the ports' words, down to what a failed call may have done.
//! Time and events move only when a test moves them.

mod chance;
mod changes;
mod clock;
mod compute;
pub mod conformance;
mod fakes;
mod fixtures;
mod gate;
mod queue;
mod real;
mod shell;
mod store;
mod webhooks;
mod workflow;

pub use chance::{Dice, SeqIds};
pub use changes::MemoryChanges;
pub use clock::SimClock;
pub use compute::{MemoryCompute, Trouble};
pub use fakes::Fakes;
pub use fixtures::{command, job_id, kind, session_id, spec, task_id, user_id};
pub use gate::{Gate, When};
pub use queue::{Held, MemoryQueue};
pub use real::RealRunner;
pub use shell::{MemoryShell, Script};
pub use store::{Change, MemoryStore};
pub use webhooks::MemoryWebhooks;
pub use workflow::MemoryWorkflow;
