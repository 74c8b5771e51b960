//! A Fargate of one machine, for tests: the part of the ECS API that ephemeral uses, over real
//! sandboxes, with fault injection.
//!
//! The responses follow the API reference of ECS and recorded responses; where both say nothing,
//! `README.md` lists the assumptions. Signatures are not verified.

mod api;
mod arn;
mod cluster;
mod command_line;
mod control;
mod events;
mod exec;
mod exec_in_sandbox;
mod faults;
mod host_port;
mod link;
mod port_mux;
mod pty;
mod queue;
mod random;
mod request;
mod sandbox_access;
mod server;
mod task;
mod time_format;
mod utf8_stream;
mod view;

pub use exec_in_sandbox::{SUBCOMMAND as EXEC_IN_SANDBOX, enter_main};
pub use server::{Config, Server, StartError};
