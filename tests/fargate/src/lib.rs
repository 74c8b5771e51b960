//! A Fargate of one machine, for tests: the part of the ECS API that ephemeral uses, over real
//! sandboxes, with the misbehaviour of the real thing at the turn of a switch.
//!
//! What ECS answers and when is taken from its API reference and from recorded answers; where the
//! two are silent, `tests/README.md` says what was assumed. Signatures are not verified.

mod api;
mod chance;
mod cluster;
mod control;
mod drill;
mod events;
mod faults;
mod moment;
mod queue;
mod request;
mod server;
mod task;
mod view;

pub use server::{Config, Server, StartError};
