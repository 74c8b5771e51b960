//! The ports on AWS, and what calls the handlers there.

pub mod functions;
pub mod sdk;
mod variable;

pub use variable::BadVariable;
