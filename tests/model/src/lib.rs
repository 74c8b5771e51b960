//! What the scenarios and the simulation share: the executions of the state machine.

mod executions;

pub use executions::{Action, Executions};
