//! Messages that a test delivers, loses or doubles by hand.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Timestamp,
    message::Message,
    ports::{BackendError, Clock, Queue},
};

use crate::{Gate, SimClock, gate::locked};

/// A message that was sent and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The message.
    pub message: Message,
    /// When it may be delivered.
    pub due: Timestamp,
}

/// Holds what was sent until it is taken.
#[derive(Debug)]
pub struct MemoryQueue {
    clock: SimClock,
    gate: Arc<Gate>,
    held: Mutex<Vec<Held>>,
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new(clock: SimClock, gate: Arc<Gate>) -> Self {
        Self { clock, gate, held: Mutex::default() }
    }

    /// All that is held, in order of sending.
    pub fn held(&self) -> Vec<Held> {
        locked(&self.held).clone()
    }

    /// The messages held, in order of sending.
    pub fn messages(&self) -> Vec<Message> {
        locked(&self.held).iter().map(|held| held.message.clone()).collect()
    }

    /// Takes those that may be delivered at `now`, in order of sending.
    pub fn take_ready(&self, now: Timestamp) -> Vec<Message> {
        locked(&self.held).extract_if(.., |held| held.due <= now).map(|held| held.message).collect()
    }

    /// Takes all, whether due or not.
    pub fn take_all(&self) -> Vec<Message> {
        locked(&self.held).drain(..).map(|held| held.message).collect()
    }

    /// Takes all with their times, whether due or not.
    pub fn take_held(&self) -> Vec<Held> {
        std::mem::take(&mut locked(&self.held))
    }

    /// Takes the message at this place: delivered out of order, or lost.
    pub fn take_at(&self, place: usize) -> Option<Held> {
        let mut held = locked(&self.held);
        (place < held.len()).then(|| held.remove(place))
    }

    /// Puts a message in as it is: a delivery that comes again.
    pub fn put(&self, held: Held) {
        locked(&self.held).push(held);
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        locked(&self.held).len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        locked(&self.held).is_empty()
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError> {
        assert!(delay <= Duration::from_mins(15), "a queue delays by 15 minutes at most");
        self.gate
            .pass("sending a message", || {
                let due = self.clock.now() + delay;
                self.put(Held { message: message.clone(), due });
            })
            .await
    }
}
