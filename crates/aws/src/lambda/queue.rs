//! Messages of a lane, several at once.

use std::panic::AssertUnwindSafe;

use domain::message::Message;
use futures::{FutureExt, future::join_all};
use handlers::Env;
use lambda_runtime::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::compute::TaskDetail;

/// What Lambda hands over from a queue
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
    body: String,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("message_id", &self.message_id).finish_non_exhaustive()
    }
}

/// What is to come again; all else is settled.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unsettled {
    batch_item_failures: Vec<Item>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    item_identifier: String,
}

/// EventBridge's envelope around a task's event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TaskEvent {
    detail_type: String,
    detail: TaskDetail,
}

const TASK_CHANGED: &str = "ECS Task State Change";

/// Works off all messages at once. One that fails comes again alone, and goes to the dead-letter
/// queue when it has come often enough; so does one that nobody can read.
pub(super) async fn handle(env: &Env, batch: Batch) -> Result<Unsettled, Diagnostic> {
    let worked = batch.records.into_iter().map(async |record| {
        let settled = work(env, &record).await;
        (!settled).then_some(Item { item_identifier: record.message_id })
    });
    let batch_item_failures = join_all(worked).await.into_iter().flatten().collect();
    Ok(Unsettled { batch_item_failures })
}

/// Whether the message is settled.
async fn work(env: &Env, record: &Record) -> bool {
    let message = match decode(&record.body) {
        Ok(Some(message)) => message,
        Ok(None) => return true,
        Err(Unreadable) => {
            tracing::error!(message.id = record.message_id, "a message can't be read");
            return false;
        }
    };
    let handler = handlers::handler_of(&message);
    // A message that makes a handler panic must not take the others along.
    match AssertUnwindSafe(handlers::handle(env, message)).catch_unwind().await {
        Ok(result) => result.is_ok(),
        Err(_) => {
            tracing::error!(handler, "{handler} panicked; the message will be delivered again");
            false
        }
    }
}

/// Neither a message nor a task's event. The decoder's words may quote it, so they are dropped.
#[derive(Debug, PartialEq, Eq)]
struct Unreadable;

/// A message of ours, or the event of a task. None: the task is nobody's of ours.
fn decode(body: &str) -> Result<Option<Message>, Unreadable> {
    if let Ok(message) = serde_json::from_str(body) {
        return Ok(Some(message));
    }
    let event: TaskEvent = serde_json::from_str(body).map_err(|_| Unreadable)?;
    if event.detail_type != TASK_CHANGED {
        return Err(Unreadable);
    }
    Ok(event.detail.facts().map(|facts| Message::TaskEvent { facts }))
}

#[cfg(test)]
mod tests;
