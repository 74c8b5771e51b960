//! The data channel of AWS Systems Manager sessions, as ECS Exec uses it: codec, sequencing, and both of its ends.
//!
//! [`frame`] and [`message`] are the bytes, [`endpoint`] the rules without I/O, [`client`] and [`server`] thin ends over WebSockets.

pub mod client;
mod closed;
mod driver;
pub mod endpoint;
pub mod frame;
mod inbox;
pub mod message;
#[cfg(test)]
mod raw;
pub mod server;

pub use bytes::Bytes;
pub use closed::{BoxError, Closed};
