//! The ports on AWS, and the Lambda entry points that call the handlers.

pub mod bus;
pub mod changes;
pub mod compute;
pub mod env;
pub mod lambda;
pub mod link;
pub mod log;
pub mod queue;
pub mod sdk;
pub mod shell;
pub mod store;
pub mod transfers;
mod variable;
pub mod workflow;

pub use variable::{VariableError, Variables};
