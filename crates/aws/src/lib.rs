//! The ports on AWS, and what calls the handlers there.

pub mod compute;
pub mod functions;
pub mod limited;
pub mod queue;
pub mod sdk;
mod variable;
pub mod workflow;

pub use variable::BadVariable;
