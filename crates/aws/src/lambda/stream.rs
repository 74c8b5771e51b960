//! Handles batches of the table's stream: puts the events of users on the bus.
//!
//! The stream has what transactions have committed, for 24 hours. Lambda repeats a batch from the first item
//! that failed, so each event arrives at least once, and the events of a user in their order.

use std::collections::HashMap;

use domain::user_event::UserEvent;
use serde::Deserialize;

use super::batch_response::{BatchResponse, ItemFailure};
use crate::bus::EventBus;

/// The event of a DynamoDB event source
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>).
#[derive(Debug, Deserialize)]
pub(super) struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
struct Record {
    dynamodb: Change,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    sequence_number: String,
    #[serde(default)]
    new_image: HashMap<String, Attribute>,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change")
            .field("sequence_number", &self.sequence_number)
            .finish_non_exhaustive()
    }
}

/// An attribute of an item; only text matters here.
#[derive(Deserialize)]
struct Attribute {
    #[serde(rename = "S")]
    text: Option<String>,
}

pub(super) async fn handle(bus: &EventBus, batch: Batch) -> BatchResponse {
    let events: Vec<(String, UserEvent)> =
        batch.records.into_iter().filter_map(|record| record.dynamodb.event()).collect();
    let accepted = bus.put(&events.iter().map(|(_, event)| event).collect::<Vec<_>>()).await;
    let first_failed = accepted.iter().position(|accepted| !accepted);
    let failure = first_failed.and_then(|at| events.get(at));
    let failure = failure.map(|(number, _)| ItemFailure { item_identifier: number.clone() });
    BatchResponse { batch_item_failures: failure.into_iter().collect() }
}

impl Change {
    /// The event that was added, with its number in the stream. An item that can't be decoded is skipped: it
    /// would stop all later ones.
    fn event(mut self) -> Option<(String, UserEvent)> {
        let number = self.sequence_number;
        let record = self.new_image.remove(crate::store::keys::RECORD)?.text?;
        match serde_json::from_str(&record) {
            Ok(event) => Some((number, event)),
            // The decoder's message may quote the record.
            Err(_) => {
                tracing::error!(number, "an event of the stream can't be decoded and is skipped");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
