//! The ports on AWS, and what calls the handlers there.

pub mod changes;
pub mod compute;
pub mod functions;
pub mod limited;
pub mod queue;
pub mod sdk;
pub mod store;
mod variable;
pub mod workflow;

pub use variable::BadVariable;
