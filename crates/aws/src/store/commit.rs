//! Writes the items of a commit: all of them, or none and the reason.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::SdkError,
    operation::{transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
    types::{AttributeValue, CancellationReason},
};
use domain::{command::Concurrency, ports::CommitError};

use super::{
    backoff::Backoff,
    error::StoreError,
    item::{ConditionFailure, FOUND, Item},
    keys::{self, Attributes, OPEN, VERSION, WRITTEN_BY, unfinished},
    writing,
};

/// An attempt that takes longer is repeated. A transaction usually takes 20 ms.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Writes to the table.
///
/// All attempts of a commit carry one token. DynamoDB executes a transaction with a known token only
/// once (it remembers tokens for ten minutes,
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>); a
/// single update stores the token in the item, where the next attempt finds it. So an attempt whose
/// response was lost can be repeated, and a commit never reports a conflict with itself.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    client: Client,
    table: String,
}

/// Why a commit failed.
#[derive(Debug)]
pub(super) enum WriteError {
    Commit(CommitError),
    /// Nothing was written: a value that was read before the transaction has changed, for this reason.
    Outdated(&'static str),
}

impl From<CommitError> for WriteError {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

impl From<WriteError> for CommitError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Commit(error) => error,
            WriteError::Outdated(_) => Self::Conflict,
        }
    }
}

/// The result of one attempt.
enum Attempt {
    Done,
    /// The condition of the item at this index does not hold; with the item as it is, if that was returned.
    ConditionFailed(usize, Attributes),
    Failed(StoreError),
}

impl Writer {
    /// Retries are counted and spaced here, so the SDK's own are turned off.
    pub(super) fn new(client: &Client, table: String) -> Self {
        let timeouts = client.config().timeout_config().cloned();
        let timeouts = timeouts.map_or_else(TimeoutConfig::builder, |all| all.to_builder());
        let timeouts = timeouts.operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
        let config = client.config().to_builder().retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.timeout_config(timeouts).build()), table }
    }

    pub(super) async fn write(&self, mut items: Vec<Item>) -> Result<(), WriteError> {
        let mut backoff = Backoff::new();
        let mut token = token();
        let mut may_have_taken_effect = false;
        while !items.is_empty() {
            let attempt = match &items[..] {
                [item] if item.can_be_single_update() => {
                    self.update(item, &token, may_have_taken_effect).await
                }
                items => self.transact(items, &token).await,
            };
            match attempt {
                Attempt::Done => return Ok(()),
                Attempt::ConditionFailed(at, found) => match items[at].on_failure {
                    ConditionFailure::Skip => {
                        items.remove(at);
                        // The remaining items are another transaction.
                        token = self::token();
                    }
                    ConditionFailure::Outdated(why) => return Err(WriteError::Outdated(why)),
                    ConditionFailure::Conflict => return Err(CommitError::Conflict.into()),
                    ConditionFailure::Slots(slots) => {
                        items[at] = slots.item_after(&found, items[at].key.clone())?;
                        // The items are another transaction.
                        token = self::token();
                    }
                    ConditionFailure::AlreadyAnswered => {
                        return Err(CommitError::AlreadyAnswered.into());
                    }
                    ConditionFailure::Mailbox { is_open_required, queue_limit } => {
                        return Err(refusal(&found, is_open_required, queue_limit).into());
                    }
                },
                Attempt::Failed(error) if !error.is_retryable() => {
                    return Err(CommitError::from(writing(error)).into());
                }
                Attempt::Failed(error) => {
                    may_have_taken_effect |= !error.had_no_effect();
                    backoff.wait(error).await.map_err(writing).map_err(CommitError::from)?;
                }
            }
        }
        Ok(())
    }

    async fn transact(&self, items: &[Item], token: &str) -> Attempt {
        let parts = items.iter().map(|item| item.in_transaction(&self.table)).collect();
        let call = self.client.transact_write_items().set_transact_items(Some(parts));
        match call.client_request_token(token).send().await {
            Ok(_) => Attempt::Done,
            Err(error) => {
                cancelled(&error).unwrap_or_else(|| Attempt::Failed(StoreError::from_sdk(&error)))
            }
        }
    }

    /// A single update costs half of what it costs as a transaction.
    async fn update(&self, item: &Item, token: &str, may_have_taken_effect: bool) -> Attempt {
        let item_with_token = item.also_setting(WRITTEN_BY, AttributeValue::S(token.to_owned()));
        let call = item_with_token.update_call(self.client.update_item().table_name(&self.table));
        match call.return_values_on_condition_check_failure(FOUND).send().await {
            Ok(_) => Attempt::Done,
            Err(error) => match failed_condition(&error) {
                None => Attempt::Failed(StoreError::from_sdk(&error)),
                Some(found) if !may_have_taken_effect => Attempt::ConditionFailed(0, found.clone()),
                Some(found) => after_lost_response(found, item, token),
            },
        }
    }
}

/// Whether the condition failed because an earlier attempt of the same write took effect.
fn after_lost_response(found: &Attributes, item: &Item, token: &str) -> Attempt {
    if keys::text(found, WRITTEN_BY) == Some(token) {
        return Attempt::Done;
    }
    // A version up to the wanted one was written by another process, so this write had no effect.
    match (keys::number::<u64>(found, VERSION), item.version) {
        (Some(found), Some(wanted)) if found > wanted => {
            Attempt::Failed(StoreError::UnknownOutcome)
        }
        (Some(_), Some(_)) => Attempt::ConditionFailed(0, found.clone()),
        _ => Attempt::Failed(StoreError::UnknownOutcome),
    }
}

/// Why a mailbox that is so refuses what a commit requires of it.
fn refusal(found: &Attributes, is_open_required: bool, queue_limit: Option<u32>) -> CommitError {
    let count = |concurrency| {
        let jobs = found.get(unfinished(concurrency)).and_then(|jobs| jobs.as_ss().ok());
        jobs.map_or(0, |jobs| u32::try_from(jobs.len()).unwrap_or(u32::MAX))
    };
    let is_full = |limit| Concurrency::ALL.into_iter().any(|of| count(of) >= limit);
    if is_open_required && !found.contains_key(OPEN) {
        CommitError::Closed
    } else if queue_limit.is_some_and(is_full) {
        CommitError::QueueFull
    } else {
        CommitError::Conflict
    }
}

/// The item for which an update's condition does not hold. None for any other error.
fn failed_condition<R>(error: &SdkError<UpdateItemError, R>) -> Option<&Attributes> {
    static NOTHING: std::sync::LazyLock<Attributes> = std::sync::LazyLock::new(Attributes::new);
    let UpdateItemError::ConditionalCheckFailedException(failure) = error.as_service_error()?
    else {
        return None;
    };
    Some(failure.item().unwrap_or(&NOTHING))
}

/// Why a transaction was cancelled; none for any other error. A failed condition takes precedence
/// over all other reasons.
fn cancelled<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Attempt> {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) =
        error.as_service_error()?
    else {
        return None;
    };
    let reasons = cancelled.cancellation_reasons();
    let code = |reason: &CancellationReason| reason.code().unwrap_or("None").to_owned();
    if let Some(at) = reasons.iter().position(|reason| code(reason) == "ConditionalCheckFailed") {
        let found = reasons[at].item().cloned().unwrap_or_default();
        return Some(Attempt::ConditionFailed(at, found));
    }
    let is_permanent = |code: &String| !TRANSIENT.contains(&code.as_str());
    let found = reasons.iter().map(code).filter(|code| code != "None");
    let worst = found.clone().find(is_permanent).or_else(|| found.clone().next());
    Some(Attempt::Failed(match worst {
        Some(code) if !is_permanent(&code) => StoreError::TransactionConflict(code),
        code => {
            StoreError::TransactionCancelled(code.unwrap_or_else(|| "no reason given".to_owned()))
        }
    }))
}

/// Cancellation reasons that another attempt may not meet.
const TRANSIENT: [&str; 3] =
    ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"];

/// A random name for a write. DynamoDB accepts up to 36 characters.
fn token() -> String {
    let random = getrandom::u64().expect("the kernel's random generator is initialised");
    format!("{random:016x}")
}
