//! What PID 1 of a shell and its callers say to each other. No I/O and no runtime: a caller
//! feeds bytes into a [`protocol::Decoder`] and sends what [`protocol::Message::encode`] made. Where
//! a terminal is in between, these bytes travel as [`lines`].

pub mod lines;
pub mod protocol;
