//! A queue whose messages a test delivers, loses or duplicates.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Timestamp,
    message::Message,
    ports::{BackendError, Clock, Queue},
};
use parking_lot::Mutex;

use crate::{Gate, SimClock};

/// A message that was sent and not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMessage {
    /// The message.
    pub message: Message,
    /// The earliest time of delivery.
    pub due: Timestamp,
}

/// Holds what was sent until it is taken.
#[derive(Debug)]
pub struct MemoryQueue {
    clock: SimClock,
    gate: Arc<Gate>,
    held: Mutex<Vec<HeldMessage>>,
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new(clock: SimClock, gate: Arc<Gate>) -> Self {
        Self { clock, gate, held: Mutex::default() }
    }

    /// The messages held, with their times, in order of sending.
    pub fn held(&self) -> Vec<HeldMessage> {
        self.held.lock().clone()
    }

    /// The messages held, in order of sending.
    pub fn messages(&self) -> Vec<Message> {
        self.held.lock().iter().map(|held| held.message.clone()).collect()
    }

    /// Takes the messages that are due at `now`, in order of sending.
    pub fn take_ready(&self, now: Timestamp) -> Vec<Message> {
        self.held.lock().extract_if(.., |held| held.due <= now).map(|held| held.message).collect()
    }

    /// Takes all messages, due or not.
    pub fn take_all(&self) -> Vec<Message> {
        self.held.lock().drain(..).map(|held| held.message).collect()
    }

    /// Takes all messages with their times, due or not.
    pub fn take_held(&self) -> Vec<HeldMessage> {
        std::mem::take(&mut self.held.lock())
    }

    /// Takes the message at this index, for delivery out of order or loss.
    pub fn take_at(&self, index: usize) -> Option<HeldMessage> {
        let mut held = self.held.lock();
        (index < held.len()).then(|| held.remove(index))
    }

    /// Puts a message in as it is: a redelivery.
    pub fn put(&self, held: HeldMessage) {
        self.held.lock().push(held);
    }

    /// The number of messages held.
    pub fn len(&self) -> usize {
        self.held.lock().len()
    }

    /// Whether no message is held.
    pub fn is_empty(&self) -> bool {
        self.held.lock().is_empty()
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError> {
        assert!(delay <= Duration::from_mins(15), "a queue delays by 15 minutes at most");
        self.gate
            .pass("sending a message", || {
                let due = self.clock.now() + delay;
                self.put(HeldMessage { message: message.clone(), due });
            })
            .await
    }
}
