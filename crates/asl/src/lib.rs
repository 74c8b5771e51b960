#![doc = include_str!("../README.md")]

mod choice;
mod event;
mod execution;
mod failure;
mod intrinsic;
mod limits;
mod load_error;
mod machine;
mod millis;
mod path;
mod retry;
mod scope;
mod state_error;
mod template;

pub use event::{Event, EventKind};
pub use execution::{
    Execution, Host, Invocation, Outcome, StaleAnswerError, Step, TaskRef, execution_of,
};
pub use failure::Failure;
pub use load_error::{LoadError, Location};
pub use machine::Machine;
pub use millis::Millis;
