//! Task events, sent to the queue with injected faults.

use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::{sync::mpsc, time::sleep};

use crate::{faults::EventFaults, queue::Queue};

/// The range of shuffled delays if no delay is set.
const SHUFFLE_WINDOW: Duration = Duration::from_millis(200);
/// Delivery attempts per event; EventBridge retries for 24 hours, which is too long for a test.
const MAX_ATTEMPTS: u32 = 6;

/// The number of events so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    sent: u64,
    dropped: u64,
    duplicated: u64,
}

#[derive(Debug)]
pub(crate) struct Events {
    channel: Option<mpsc::UnboundedSender<String>>,
    /// The states of tasks whose events are sent; all if empty.
    states: Vec<String>,
    state: Mutex<(Rng, Counts)>,
}

impl Events {
    /// Without a queue, events are dropped. Must be called within a tokio runtime.
    pub(crate) fn new(queue: Option<Queue>, states: Vec<String>, seed: u64) -> Self {
        let channel = queue.map(|queue| {
            let (channel, mut events) = mpsc::unbounded_channel::<String>();
            tokio::spawn(async move {
                while let Some(event) = events.recv().await {
                    send(&queue, &event).await;
                }
            });
            channel
        });
        Self { channel, states, state: Mutex::new((Rng::with_seed(seed), Counts::default())) }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state.lock().1
    }

    /// Sends the event once, twice or not at all, as the faults say.
    pub(crate) fn send(&self, event: &Value, faults: &EventFaults) {
        let Some(channel) = &self.channel else { return };
        let status = event["detail"]["lastStatus"].as_str().unwrap_or_default();
        if !self.states.is_empty() && !self.states.iter().any(|state| state == status) {
            return;
        }
        for delay in self.delays(faults) {
            let (channel, event) = (channel.clone(), event.to_string());
            if delay.is_zero() {
                // The receiver has ended only if the runtime ends.
                let _gone = channel.send(event);
                continue;
            }
            tokio::spawn(async move {
                sleep(delay).await;
                let _gone = channel.send(event);
            });
        }
    }

    /// The delay of each copy of an event.
    fn delays(&self, faults: &EventFaults) -> Vec<Duration> {
        let mut state = self.state.lock();
        let (rng, counts) = &mut *state;
        counts.sent += 1;
        if rng.f64() < faults.drop {
            counts.dropped += 1;
            return Vec::new();
        }
        let copies = 1 + usize::from(rng.f64() < faults.duplicate);
        counts.duplicated += copies as u64 - 1;
        let delay = Duration::from_millis(faults.delay_ms);
        let range = if faults.shuffle { delay.max(SHUFFLE_WINDOW) } else { Duration::ZERO };
        let range = u64::try_from(range.as_millis()).unwrap_or(u64::MAX);
        (0..copies).map(|_| delay + Duration::from_millis(rng.u64(..=range))).collect()
    }
}

async fn send(queue: &Queue, event: &str) {
    for attempt in 0..MAX_ATTEMPTS {
        match queue.send(event).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, "an event could not be sent");
                sleep(Duration::from_millis(50) * 2_u32.pow(attempt)).await;
            }
        }
    }
}
