//! The way of events: from a task's change, through mishaps, onto the queue.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;
use tokio::{sync::mpsc, time::sleep};

use crate::{chance::Dice, faults::EventFaults, queue::Queue};

/// Where events stray without a delay to be measured by.
const STRAY: Duration = Duration::from_millis(200);
/// EventBridge tries for 24 hours; here, until whoever tests has given up.
const TRIES: u32 = 6;

/// What became of the events so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    told: u64,
    dropped: u64,
    duplicated: u64,
}

#[derive(Debug)]
pub(crate) struct Events {
    way: Option<mpsc::UnboundedSender<String>>,
    chance: Mutex<(Dice, Counts)>,
}

impl Events {
    /// Must be called within a runtime. Without a queue, events go nowhere.
    pub(crate) fn new(queue: Option<Queue>, seed: u64) -> Self {
        let way = queue.map(|queue| {
            let (way, mut events) = mpsc::unbounded_channel::<String>();
            tokio::spawn(async move {
                while let Some(event) = events.recv().await {
                    send(&queue, &event).await;
                }
            });
            way
        });
        Self { way, chance: Mutex::new((Dice::new(seed), Counts::default())) }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Sends it on its way, or several ways, or none.
    pub(crate) fn tell(&self, event: &Value, faults: &EventFaults) {
        let Some(way) = &self.way else { return };
        for delay in self.fate(faults) {
            let (way, event) = (way.clone(), event.to_string());
            if delay.is_zero() {
                // The receiver ends with the runtime.
                let _gone = way.send(event);
                continue;
            }
            tokio::spawn(async move {
                sleep(delay).await;
                let _gone = way.send(event);
            });
        }
    }

    /// How long each copy of an event waits.
    fn fate(&self, faults: &EventFaults) -> Vec<Duration> {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let (dice, counts) = &mut *chance;
        counts.told += 1;
        if dice.chance(faults.drop) {
            counts.dropped += 1;
            return Vec::new();
        }
        let copies = 1 + usize::from(dice.chance(faults.duplicate));
        counts.duplicated += copies as u64 - 1;
        let delay = Duration::from_millis(faults.delay_ms);
        let stray = if faults.shuffle { delay.max(STRAY) } else { Duration::ZERO };
        let stray = u64::try_from(stray.as_millis()).unwrap_or(u64::MAX);
        (0..copies).map(|_| delay + Duration::from_millis(dice.below(stray))).collect()
    }
}

async fn send(queue: &Queue, event: &str) {
    for attempt in 0..TRIES {
        match queue.send(event).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, "an event does not get through");
                sleep(Duration::from_millis(50) * 2_u32.pow(attempt)).await;
            }
        }
    }
}
