//! ephemeral on one machine: the ports, the engine that calls the handlers, and the server.

pub mod changes;
pub mod compute;
pub mod config;
pub mod data_channels;
pub mod database;
pub mod engine;
mod env;
pub mod executions;
pub mod publish;
pub mod queue;
pub mod revocation;
pub mod server;
pub mod shell;
pub mod store;
pub mod tokens;
pub mod workflow;
mod zstd;

pub use adapters::clock;
pub use domain::{Secret, UserId};
pub use sandbox;
