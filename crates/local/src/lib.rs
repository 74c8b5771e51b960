//! ephemeral on one machine: the ports, and the engine that calls the handlers.

pub mod shell;
pub mod webhooks;
