//! The connection that the runner of a task opens to its service, where the service can't connect to the
//! task: what is said on it, and what is said again after a loss.
//!
//! The connection is a WebSocket with text messages ([`frame`]). Frames may be lost, come twice, or in
//! another order. [`Carrier`] is the side of the task, without I/O and with the time as an argument: it
//! stands between the WebSocket and the runner's socket, and sends each fact until the service has stored
//! it. The side of the service keeps no state of its own: the job's record says what is stored.
//!
//! [`Order`] is the input of the other program for tasks, `runner-transfer`.

mod carrier;
pub mod frame;
mod order;
mod parts;

pub use carrier::{Action, Carrier};
pub use order::Order;
pub use parts::split;
