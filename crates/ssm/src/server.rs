//! The server's end: AWS's service and its agent in one, for tests and for one machine.

mod accept;
mod session;
#[cfg(test)]
mod tests;

pub use accept::{AcceptError, Opening, accept};
use bytes::Bytes;
pub use session::{Input, Options, Output, Session, session};

use crate::closed::Closed;

/// What the client sent.
#[derive(Debug, Clone)]
pub enum Event {
    Bytes(Bytes),
    /// The size of its terminal.
    Size {
        cols: u16,
        rows: u16,
    },
    /// The session is over. A client that only disconnected may come back.
    Closed(Closed),
}
