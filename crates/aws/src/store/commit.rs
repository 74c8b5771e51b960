//! Writes the items of a transaction: all, or none and why.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::SdkError,
    operation::{transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
    types::{AttributeValue, CancellationReason, ReturnValuesOnConditionCheckFailure},
};
use domain::ports::CommitError;

use super::{
    fault::Fault,
    item::{Item, Refusal},
    keys::{self, Attributes, VERSION, WRITTEN_BY},
    pace::{Pace, chance},
    writing,
};

/// A try that takes longer is taken for lost and repeated. A transaction takes some 20 ms.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Writes to the table.
///
/// All tries of a commit carry one token. The service does a transaction with a token that it has seen
/// (for ten minutes) no second time
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>);
/// an update by itself leaves the token on the item, where the next try finds it. So a try whose
/// answer was lost is repeated, and no one is told of a conflict with itself.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    client: Client,
    table: String,
}

/// What came of one try.
enum Tried {
    Done,
    /// The condition of this item does not hold.
    Refused(usize),
    Failed(Fault),
}

impl Writer {
    /// Tries are counted and spaced here, so the SDK makes none of its own.
    pub(super) fn new(client: &Client, table: String) -> Self {
        let timeouts = client.config().timeout_config().cloned();
        let timeouts = timeouts.map_or_else(TimeoutConfig::builder, |all| all.to_builder());
        let timeouts = timeouts.operation_attempt_timeout(ATTEMPT).build();
        let config = client.config().to_builder().retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.timeout_config(timeouts).build()), table }
    }

    pub(super) async fn write(&self, mut items: Vec<Item>) -> Result<(), CommitError> {
        let mut pace = Pace::new();
        let mut token = token();
        let mut unsure = false;
        while !items.is_empty() {
            let tried = match &items[..] {
                [item] if item.can_be_alone() => self.alone(item, &token, unsure).await,
                items => self.transact(items, &token).await,
            };
            match tried {
                Tried::Done => return Ok(()),
                Tried::Refused(at) => match items[at].refusal {
                    Refusal::Moot => {
                        items.remove(at);
                        // It is another transaction now.
                        token = self::token();
                    }
                    Refusal::Conflict => return Err(CommitError::Conflict),
                    Refusal::QuotaReached => return Err(CommitError::QuotaReached),
                    Refusal::Answered => return Err(CommitError::AlreadyAnswered),
                    Refusal::Closed => return Err(CommitError::Closed),
                },
                Tried::Failed(fault) if !fault.may_pass() => return Err(writing(fault).into()),
                Tried::Failed(fault) => {
                    unsure |= !fault.is_refusal();
                    if !pace.next().await {
                        let (tries, last) = (pace.tries(), fault.to_string());
                        return Err(writing(Fault::GivenUp { tries, last }).into());
                    }
                }
            }
        }
        Ok(())
    }

    async fn transact(&self, items: &[Item], token: &str) -> Tried {
        let parts = items.iter().map(|item| item.in_transaction(&self.table)).collect();
        let call = self.client.transact_write_items().set_transact_items(Some(parts));
        match call.client_request_token(token).send().await {
            Ok(_) => Tried::Done,
            Err(error) => cancelled(&error).unwrap_or_else(|| Tried::Failed(Fault::of(&error))),
        }
    }

    /// One update by itself costs half of what it costs as a transaction.
    async fn alone(&self, item: &Item, token: &str, unsure: bool) -> Tried {
        let stamped = item.stamped(WRITTEN_BY, AttributeValue::S(token.to_owned()));
        let call = stamped.alone(self.client.update_item().table_name(&self.table));
        let found = ReturnValuesOnConditionCheckFailure::AllOld;
        match call.return_values_on_condition_check_failure(found).send().await {
            Ok(_) => Tried::Done,
            Err(error) => match refused(&error) {
                None => Tried::Failed(Fault::of(&error)),
                Some(_) if !unsure => Tried::Refused(0),
                Some(found) => after_all(found, item, token),
            },
        }
    }
}

/// Whether an update was refused because a try of the same write came before it.
fn after_all(found: &Attributes, item: &Item, token: &str) -> Tried {
    if keys::text(found, WRITTEN_BY) == Some(token) {
        return Tried::Done;
    }
    // A version that is not past ours was written in our place, so ours never was.
    match (keys::number::<u64>(found, VERSION), item.version) {
        (Some(found), Some(ours)) if found > ours => Tried::Failed(Fault::Unknown),
        (Some(_), Some(_)) => Tried::Refused(0),
        _ => Tried::Failed(Fault::Unknown),
    }
}

/// The item that an update found where its condition does not hold.
fn refused<R>(error: &SdkError<UpdateItemError, R>) -> Option<&Attributes> {
    static NOTHING: std::sync::LazyLock<Attributes> = std::sync::LazyLock::new(Attributes::new);
    let UpdateItemError::ConditionalCheckFailedException(refusal) = error.as_service_error()?
    else {
        return None;
    };
    Some(refusal.item().unwrap_or(&NOTHING))
}

/// Why a transaction was cancelled. A condition that does not hold is an answer, whatever else went
/// wrong; all other reasons pass or are our own fault.
fn cancelled<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Tried> {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) =
        error.as_service_error()?
    else {
        return None;
    };
    let reasons = cancelled.cancellation_reasons();
    let code = |reason: &CancellationReason| reason.code().unwrap_or("None").to_owned();
    if let Some(at) = reasons.iter().position(|reason| code(reason) == "ConditionalCheckFailed") {
        return Some(Tried::Refused(at));
    }
    let lasting = |code: &String| !PASSING.contains(&code.as_str());
    let found = reasons.iter().map(code).filter(|code| code != "None");
    let worst = found.clone().find(lasting).or_else(|| found.clone().next());
    Some(Tried::Failed(match worst {
        Some(code) if !lasting(&code) => Fault::Busy(code),
        code => Fault::Cancelled(code.unwrap_or_else(|| "no reason".to_owned())),
    }))
}

/// Reasons that another try may not meet.
const PASSING: [&str; 3] =
    ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"];

/// Names a write. 36 characters are allowed.
fn token() -> String {
    format!("{:016x}", u64::from_ne_bytes(chance()))
}
