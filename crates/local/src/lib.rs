//! ephemeral on one machine: the ports, and the engine that calls the handlers.

pub mod changes;
pub mod clock;
pub mod database;
pub mod executions;
pub mod queue;
pub mod shell;
pub mod store;
pub mod tokens;
pub mod webhooks;
