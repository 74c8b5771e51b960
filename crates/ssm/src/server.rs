//! The server end of a data channel: AWS's service and agent in one, for tests and for local use.

mod accept;
mod session;
#[cfg(test)]
mod tests;

pub use accept::{AcceptError, Opening, accept, accept_upgraded};
use bytes::Bytes;
pub use session::{Input, Options, Output, Session, session};
/// The value of `Sec-WebSocket-Accept` for that of `Sec-WebSocket-Key`.
pub use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::close_reason::CloseReason;

/// An event from the client.
#[derive(Debug, Clone)]
pub enum Event {
    /// Input of the client.
    Bytes(Bytes),
    /// The size of the client's terminal.
    Size { cols: u16, rows: u16 },
    /// The session has ended. A mere disconnection of the client does not end it, because the client may reconnect.
    Closed(CloseReason),
}
