//! A Fargate of one machine, for tests: the part of the ECS API that ephemeral uses, over real
//! sandboxes, with the misbehaviour of the real thing at the turn of a switch.
//!
//! What ECS answers and when is taken from its API reference and from recorded answers; where the
//! two are silent, `README.md` says what was assumed. Signatures are not verified.

mod api;
mod chance;
mod cluster;
mod control;
mod drill;
mod enter;
mod events;
mod exec;
mod faults;
mod front;
mod moment;
mod pty;
mod queue;
mod realm;
mod request;
mod runes;
mod server;
mod task;
mod view;
mod words;

pub use enter::{WORD as ENTER, enter_main};
pub use server::{Config, Server, StartError};
