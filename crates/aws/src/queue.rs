//! The queue port on SQS, one queue per lane.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_types::SdkConfig;
use domain::{
    message::{Lane, Message},
    ports::{BackendError, Queue},
};

/// The longest delay that SQS accepts.
const MAX_DELAY: Duration = Duration::from_mins(15);

/// Sends each message to the queue of its lane.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    urls: HashMap<Lane, String>,
}

impl SqsQueue {
    /// Sends to the lanes whose queue URLs are given.
    pub fn new(config: &SdkConfig, urls: HashMap<Lane, String>) -> Self {
        Self { client: Client::new(config), urls }
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, message: &Message, delay: Duration) -> Result<(), BackendError> {
        let action = "sending a message";
        let lane = message.lane();
        let url = self.urls.get(&lane).ok_or_else(|| {
            BackendError::new(
                action,
                format!("the queue of lane {} is not configured", lane.name()),
            )
        })?;
        let body =
            serde_json::to_string(message).map_err(|error| BackendError::new(action, error))?;
        self.client
            .send_message()
            .queue_url(url)
            .message_body(body)
            .message_group_id(group(message))
            .set_delay_seconds(delay_seconds(delay))
            .send()
            .await
            .map_err(|error| BackendError::new(action, error))?;
        Ok(())
    }
}

/// Brings back the messages of one queue that a handler failed on.
#[derive(Debug, Clone)]
pub struct SqsRedelivery {
    client: Client,
    url: String,
}

impl SqsRedelivery {
    /// For the queue of this URL.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        Self { client: Client::new(config), url }
    }

    /// Makes a message visible again after a delay that grows with each receive. Otherwise it would be hidden for
    /// the visibility timeout of the queue, which must exceed the longest batch. A failure costs no more than that.
    pub(crate) async fn schedule(&self, receipt: &str, receives: u32) {
        let hidden = i32::try_from(redelivery_delay(receives).as_secs()).unwrap_or(i32::MAX);
        let request = self.client.change_message_visibility();
        let request = request.queue_url(&self.url).receipt_handle(receipt);
        if let Err(error) = request.visibility_timeout(hidden).send().await {
            let error: &dyn std::error::Error = &error;
            tracing::info!(
                error,
                "failed to shorten the delay of a failed message; it is delivered later"
            );
        }
    }
}

/// 2 s after the first receive, and four times as long after each other one.
fn redelivery_delay(receives: u32) -> Duration {
    Duration::from_secs(2) * 4_u32.pow(receives.clamp(1, 5) - 1)
}

/// The delay in whole seconds, rounded up. None means no delay.
fn delay_seconds(delay: Duration) -> Option<i32> {
    let millis = delay.min(MAX_DELAY).as_millis();
    i32::try_from(millis.div_ceil(1000)).ok().filter(|seconds| *seconds > 0)
}

/// The message group: with groups, a standard queue delivers fairly, so that one session with many
/// messages does not delay the others
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html>).
fn group(message: &Message) -> String {
    match message {
        Message::StartSession { session }
        | Message::NotifySession { session }
        | Message::SetDeadline { session }
        | Message::RunJob { session }
        | Message::RunClaimed { session, .. } => session.to_string(),
        Message::CancelJob { job }
        | Message::SignalJob { job, .. }
        | Message::OpenTerminal { job } => job.to_string(),
        Message::TaskEvent { facts } | Message::ProbeTask { facts } => facts.started_by.clone(),
        Message::DeliverWebhook { delivery } => delivery.to_string(),
        Message::FillPool => "pool".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_rounded_up_to_seconds_that_sqs_accepts() {
        let cases = [
            (Duration::ZERO, None),
            (Duration::from_millis(1), Some(1)),
            (Duration::from_secs(60), Some(60)),
            (Duration::from_millis(60_001), Some(61)),
            (Duration::from_hours(9), Some(900)),
        ];
        for (delay, wanted) in cases {
            assert_eq!(delay_seconds(delay), wanted, "{delay:?}");
        }
    }

    #[test]
    fn a_failed_message_comes_back_soon_and_then_ever_later() {
        let delays = [1, 2, 3, 4, 5, 9].map(|receives| redelivery_delay(receives).as_secs());
        assert_eq!(delays, [2, 8, 32, 128, 512, 512]);
        assert_eq!(redelivery_delay(0).as_secs(), 2);
    }
}
