#![doc = include_str!("../README.md")]

pub mod client;
mod close_reason;
mod driver;
pub mod endpoint;
pub mod frame;
mod inbox;
pub mod message;
#[cfg(test)]
mod raw_peer;
pub mod server;

pub use bytes::Bytes;
pub use close_reason::{BoxError, CloseReason};
