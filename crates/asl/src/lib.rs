//! An interpreter of the Amazon States Language with JSONPath as its query language
//! (<https://states-language.net/spec.html>, and the AWS Step Functions developer guide where the
//! two differ).
//!
//! It does no I/O and knows neither clock nor randomness: a driver asks [`Execution::step`] what to
//! do, does it, and hands the answer back. Between two calls an [`Execution`] is plain data, so a
//! driver that stores it after each change goes on where it stopped.
//!
//! What is not supported is refused by [`Machine::parse`], which names the state and the field.

mod choice;
mod event;
mod execution;
mod failure;
mod intrinsic;
mod load_error;
mod machine;
mod millis;
mod path;
mod retry;
mod template;

pub use event::{Event, What};
pub use execution::{Execution, Host, Invocation, Late, Outcome, Step, TaskRef, execution_of};
pub use failure::Failure;
pub use load_error::{LoadError, Place};
pub use machine::Machine;
pub use millis::Millis;
