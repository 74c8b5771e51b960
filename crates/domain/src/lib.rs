//! The rules of ephemeral, free of I/O.
//!
//! Time, ids and random numbers come in as arguments; everything with I/O is a port in [`ports`].

/// Implements `From` for an enum of states, from the struct of each state.
macro_rules! from_states {
    ($record:ident: $($state:ident)*) => {
        $(impl From<$state> for $record {
            fn from(state: $state) -> Self {
                Self::$state(state)
            }
        })*
    };
}

pub mod command;
pub mod cost;
pub mod file;
pub mod id;
pub mod job;
pub mod marks;
pub mod message;
pub mod ports;
pub mod process;
pub mod rate;
#[cfg(test)]
mod records;
pub mod secret;
pub mod session;
pub mod size;
pub mod task;
pub mod time;
pub mod timeline;
pub mod user_event;
pub mod warm;
pub mod webhook;

pub use id::{DeliveryId, EventId, JobId, SessionId, TaskId, UploadId, UserId, WarmId};
pub use secret::Secret;
pub use time::Timestamp;
