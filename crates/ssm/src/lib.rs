//! The data channel of AWS Systems Manager sessions, as ECS Exec uses it: codec, sequencing, and both of its ends.
//!
//! [`frame`] and [`message`] are the bytes, [`endpoint`] the rules without I/O, [`client`] and [`server`] thin ends over WebSockets.

pub mod frame;
pub mod message;
