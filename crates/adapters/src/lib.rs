//! The implementations of three ports that one machine and AWS share: the client of a task's runner,
//! webhooks that are posted to public addresses only, and this machine's time and ids.

pub mod clock;
mod log_limit;
pub mod shell;
pub mod webhooks;

pub use log_limit::LogLimit;
