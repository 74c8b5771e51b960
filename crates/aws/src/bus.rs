//! The EventBridge bus of the deployment, which gets all events of all users.

use std::fmt;

use aws_sdk_eventbridge::{
    Client,
    error::DisplayErrorContext,
    primitives::DateTime,
    types::{PutEventsRequestEntry, PutEventsResultEntry},
};
use aws_types::SdkConfig;
use domain::user_event::UserEvent;
use handlers::published_event;

/// The `source` of all events. Rules match it.
const SOURCE: &str = "ephemeral";
/// Entries that PutEvents accepts in one call
/// (<https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>).
const MAX_ENTRIES: usize = 10;

/// A bus.
#[derive(Clone)]
pub struct EventBus {
    client: Client,
    name: String,
}

impl EventBus {
    /// The bus with this name.
    pub fn new(config: &SdkConfig, name: String) -> Self {
        Self { client: Client::new(config), name }
    }

    /// Puts events on the bus. Returns for each whether the bus has accepted it; one that it has not accepted
    /// must be put again.
    pub(crate) async fn put(&self, events: &[&UserEvent]) -> Vec<bool> {
        let mut accepted = Vec::with_capacity(events.len());
        for events in events.chunks(MAX_ENTRIES) {
            accepted.extend(self.put_some(events).await);
        }
        accepted
    }

    async fn put_some(&self, events: &[&UserEvent]) -> Vec<bool> {
        let entries = events.iter().map(|event| self.entry(event)).collect();
        match self.client.put_events().set_entries(Some(entries)).send().await {
            Ok(answer) => {
                let entries = answer.entries();
                events.iter().enumerate().map(|(at, event)| is_accepted(event, entries.get(at)))
            }
            .collect(),
            Err(error) => {
                let error = DisplayErrorContext(&error).to_string();
                let count = events.len();
                tracing::error!(
                    error,
                    "failed to put {count} events on the bus; they are put again"
                );
                vec![false; count]
            }
        }
    }

    fn entry(&self, event: &UserEvent) -> PutEventsRequestEntry {
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(SOURCE)
            .detail_type(event.event.name())
            .detail(published_event(event).to_string())
            .time(DateTime::from_millis(event.at.millis()))
            .build()
    }
}

/// The bus answers for each entry, in order. A missing answer counts as a refusal.
fn is_accepted(event: &UserEvent, answer: Option<&PutEventsResultEntry>) -> bool {
    let Some(code) = answer.map(PutEventsResultEntry::error_code) else { return false };
    if let Some(code) = code {
        let (id, session) = (event.id, event.session);
        tracing::warn!(event.id = %id, session.id = %session, code, "the bus refused an event; it is put again");
    }
    code.is_none()
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBus").field("name", &self.name).finish_non_exhaustive()
    }
}
