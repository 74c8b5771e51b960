//! Handles batches of SQS messages.

use std::panic::AssertUnwindSafe;

use domain::message::Message;
use futures::{FutureExt, future::join_all};
use handlers::Env;
use lambda_runtime::Diagnostic;
use serde::Deserialize;

use super::batch_response::{BatchResponse, ItemFailure};
use crate::{compute::TaskDetail, queue::SqsRedelivery};

/// The event of an SQS event source
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>).
#[derive(Debug, Deserialize)]
pub(super) struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    #[serde(default)]
    receipt_handle: String,
    #[serde(default)]
    attributes: Attributes,
    body: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    approximate_receive_count: Option<String>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("message_id", &self.message_id).finish_non_exhaustive()
    }
}

/// The envelope of EventBridge around a task event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TaskEvent {
    detail_type: String,
    detail: TaskDetail,
}

const TASK_CHANGED: &str = "ECS Task State Change";

/// Handles a batch, and has its failed messages delivered again soon.
pub(super) async fn serve(
    env: &Env,
    redelivery: Option<&SqsRedelivery>,
    batch: Batch,
) -> Result<BatchResponse, Diagnostic> {
    let receipts: Vec<_> = batch.records.iter().map(Record::receipt).collect();
    let response = handle(env, batch).await?;
    if let Some(redelivery) = redelivery {
        let failed = |id: &String| {
            response.batch_item_failures.iter().any(|failure| failure.item_identifier == *id)
        };
        let failed = receipts.into_iter().filter(|(id, ..)| failed(id));
        join_all(failed.map(async |(_, receipt, receives)| {
            redelivery.schedule(&receipt, receives).await;
        }))
        .await;
    }
    Ok(response)
}

impl Record {
    /// The id of the message, the receipt of this delivery, and how often the message was received.
    fn receipt(&self) -> (String, String, u32) {
        let receives = self.attributes.approximate_receive_count.as_deref();
        let receives = receives.and_then(|count| count.parse().ok()).unwrap_or(1);
        (self.message_id.clone(), self.receipt_handle.clone(), receives)
    }
}

/// Handles all messages concurrently. SQS delivers a message that failed or cannot be decoded again, and
/// moves it to the dead-letter queue after the queue's `maxReceiveCount`.
pub(super) async fn handle(env: &Env, batch: Batch) -> Result<BatchResponse, Diagnostic> {
    let handled = batch.records.into_iter().map(async |record| {
        let done = handle_record(env, &record).await;
        (!done).then_some(ItemFailure { item_identifier: record.message_id })
    });
    let batch_item_failures = join_all(handled).await.into_iter().flatten().collect();
    Ok(BatchResponse { batch_item_failures })
}

/// Handles one message. Returns false if SQS is to deliver it again.
async fn handle_record(env: &Env, record: &Record) -> bool {
    let message = match decode(&record.body) {
        Ok(Some(message)) => message,
        Ok(None) => return true,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(message.id = record.message_id, error, "failed to decode a message");
            return false;
        }
    };
    let handler = handlers::handler_of(&message);
    // A panic must not end the process: other messages of the batch are being handled.
    match AssertUnwindSafe(handlers::handle(env, message)).catch_unwind().await {
        Ok(result) => result.is_ok(),
        Err(_) => {
            tracing::error!(
                message.id = record.message_id,
                handler,
                "a handler panicked; the message will be delivered again"
            );
            false
        }
    }
}

/// The body is neither a message nor a task event. The decoder's message is left out because it may
/// quote the body.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is neither a message nor a task event")]
struct DecodeError;

/// Decodes a message or a task event. None for the event of a task that this product did not start.
fn decode(body: &str) -> Result<Option<Message>, DecodeError> {
    if let Ok(message) = serde_json::from_str(body) {
        return Ok(Some(message));
    }
    let event: TaskEvent = serde_json::from_str(body).map_err(|_| DecodeError)?;
    if event.detail_type != TASK_CHANGED {
        return Err(DecodeError);
    }
    Ok(event.detail.facts().map(|facts| Message::TaskEvent { facts }))
}

#[cfg(test)]
mod tests;
