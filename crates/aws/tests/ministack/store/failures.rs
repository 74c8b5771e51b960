//! The store when DynamoDB is slow, busy or unreachable.

use aws::store::DynamoStore;
use aws_sdk_dynamodb::{Client, config};
use domain::{
    job::Job,
    ports::{CommitError, Expect, Store, Version, Write},
};
use serde_json::json;
use testkit::{job_id, session_id, user_id};

use super::{
    Emulator,
    fault_injector::{FaultInjector, InjectedFault, cancelled, refused},
    job, session,
};

/// A store whose calls pass through a fault injector.
async fn store_with_faults(emulator: &Emulator) -> (FaultInjector, DynamoStore) {
    let injector = FaultInjector::default();
    let config = config::Builder::from(&emulator.server.config_over(injector.http()));
    (injector, DynamoStore::new(Client::from_conf(config.build()), emulator.table().await))
}

fn take() -> Write {
    Write::TakeSlot { user: user_id(), limit: 5 }
}

fn put(job: impl Into<Job>, expect: Expect) -> Write {
    Write::Job(Box::new(job.into()), expect)
}

#[tokio::test]
async fn a_transaction_whose_response_was_lost_takes_effect_once() {
    let Some(emulator) = Emulator::start() else { return };
    let (injector, store) = store_with_faults(&emulator).await;
    injector.inject("TransactWriteItems", 2, &InjectedFault::LostResponse);
    store.commit(vec![take(), put(job("s", "j"), Expect::New)]).await.unwrap();
    assert_eq!(injector.calls("TransactWriteItems"), 3);
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 1);
    let read = store.job(job_id("j")).await.unwrap().unwrap();
    assert_eq!(read.version, Version(1));
}

#[tokio::test]
async fn a_single_slot_whose_response_was_lost_is_taken_once() {
    let Some(emulator) = Emulator::start() else { return };
    let (injector, store) = store_with_faults(&emulator).await;
    injector.inject("TransactWriteItems", 1, &InjectedFault::LostResponse);
    store.commit(vec![take()]).await.unwrap();
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 1);
}

#[tokio::test]
async fn a_single_update_whose_response_was_lost_does_not_conflict_with_itself() {
    let Some(emulator) = Emulator::start() else { return };
    let (injector, store) = store_with_faults(&emulator).await;
    store.commit(vec![put(job("s", "j"), Expect::New)]).await.unwrap();
    injector.inject("UpdateItem", 2, &InjectedFault::LostResponse);
    let later = job("s", "j").recheck_at(super::at(5));
    store.commit(vec![put(later.clone(), Expect::At(Version(1)))]).await.unwrap();
    assert_eq!(injector.calls("UpdateItem"), 3);
    let read = store.job(job_id("j")).await.unwrap().unwrap();
    assert_eq!((read.value, read.version), (later.into(), Version(2)));

    // The write of another process at that version is a conflict, whatever the outcome of the attempt.
    injector.inject(
        "UpdateItem",
        1,
        &InjectedFault::Response(500, json!({"__type": "InternalServerError"})),
    );
    let stale = store.commit(vec![put(job("s", "j"), Expect::At(Version(1)))]).await;
    assert!(matches!(stale, Err(CommitError::Conflict)), "{stale:?}");
}

#[tokio::test]
async fn an_outcome_that_a_later_write_hides_is_unknown() {
    let Some(emulator) = Emulator::start() else { return };
    let (injector, store) = store_with_faults(&emulator).await;
    store.commit(vec![put(job("s", "j"), Expect::New)]).await.unwrap();
    for read in 1..3 {
        let write = put(job("s", "j").recheck_at(super::at(9)), Expect::At(Version(read)));
        store.commit(vec![write]).await.unwrap();
    }
    injector.inject(
        "UpdateItem",
        1,
        &InjectedFault::Response(500, json!({"__type": "InternalServerError"})),
    );
    let hidden = store.commit(vec![put(job("s", "j"), Expect::At(Version(1)))]).await;
    assert!(matches!(hidden, Err(CommitError::Backend(_))), "{hidden:?}");
}

#[tokio::test]
async fn transaction_conflicts_and_throttling_are_retried() {
    let Some(emulator) = Emulator::start() else { return };
    let (injector, store) = store_with_faults(&emulator).await;
    let busy = [
        cancelled(&["None", "TransactionConflict"]),
        cancelled(&["ThrottlingError", "None"]),
        cancelled(&["ProvisionedThroughputExceeded", "TransactionConflict"]),
        refused("TransactionInProgressException", json!({})),
        refused("ThrottlingException", json!({})),
        refused("RequestLimitExceeded", json!({})),
        InjectedFault::Response(503, json!({"__type": "ServiceUnavailable"})),
        InjectedFault::Response(502, json!("Bad Gateway")),
    ];
    for fault in &busy {
        injector.inject("TransactWriteItems", 1, fault);
    }
    store.commit(vec![take(), put(job("s", "j"), Expect::New)]).await.unwrap();
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 1);

    injector.inject("UpdateItem", 1, &refused("TransactionConflictException", json!({})));
    injector.inject("UpdateItem", 1, &refused("ProvisionedThroughputExceededException", json!({})));
    let later = job("s", "j").recheck_at(super::at(5));
    store.commit(vec![put(later, Expect::At(Version(1)))]).await.unwrap();
}

#[tokio::test]
async fn endless_conflicts_exhaust_the_retries() {
    let Some(emulator) = Emulator::start() else { return };
    let (injector, store) = store_with_faults(&emulator).await;
    injector.inject("TransactWriteItems", 1000, &cancelled(&["TransactionConflict"]));
    let abandoned = store.commit(vec![take()]).await;
    assert!(matches!(abandoned, Err(CommitError::Backend(_))), "{abandoned:?}");
    let attempts = injector.calls("TransactWriteItems");
    assert!((10..=40).contains(&attempts), "{attempts} attempts");
}

#[tokio::test]
async fn a_failed_condition_takes_precedence_over_other_reasons() {
    let Some(emulator) = Emulator::start() else { return };
    let (injector, store) = store_with_faults(&emulator).await;
    let writes = || {
        let answer = Write::RequireOpen(session_id("s"));
        vec![answer, take(), put(job("s", "j"), Expect::New)]
    };
    let fails = "ConditionalCheckFailed";
    injector.inject("TransactWriteItems", 1, &cancelled(&["None", "TransactionConflict", fails]));
    assert!(matches!(store.commit(writes()).await, Err(CommitError::Closed)));
    injector.inject("TransactWriteItems", 1, &cancelled(&["TransactionConflict", fails, fails]));
    assert!(matches!(store.commit(writes()).await, Err(CommitError::QuotaReached)));
    injector.inject("TransactWriteItems", 1, &cancelled(&[fails, fails, "None"]));
    assert!(matches!(store.commit(writes()).await, Err(CommitError::Conflict)));
    injector.inject("TransactWriteItems", 1, &cancelled(&["ItemCollectionSizeLimitExceeded"]));
    assert!(matches!(store.commit(writes()).await, Err(CommitError::Backend(_))));
    assert_eq!(injector.calls("TransactWriteItems"), 4);
}

#[tokio::test]
async fn keys_that_were_left_over_are_asked_for_again() {
    let Some(emulator) = Emulator::start() else { return };
    let (injector, store) = store_with_faults(&emulator).await;
    store.commit(vec![put(job("s", "j"), Expect::New)]).await.unwrap();
    injector.inject("BatchGetItem", 2, &InjectedFault::Unprocessed);
    let open = store.open_jobs(session_id("s"), domain::command::Concurrency::Serial, 9).await;
    assert_eq!(open.unwrap().len(), 1);
    assert_eq!(injector.calls("BatchGetItem"), 3);
}

#[tokio::test]
async fn no_error_shows_what_was_sent_or_stored() {
    let Some(emulator) = Emulator::start() else { return };
    let (injector, store) = store_with_faults(&emulator).await;
    let quoting = json!({"message": "1 validation error detected: Value '[s3cret]' at 'items'"});
    injector.inject("TransactWriteItems", 1, &refused("ValidationException", quoting));
    let error = store.commit(vec![take()]).await.unwrap_err();
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");

    store.commit(vec![Write::Session(Box::new(session("s")), Expect::New)]).await.unwrap();
    for _ in 0..9 {
        injector.inject("Query", 1, &InjectedFault::InvalidResponse);
    }
    let error = store.session(session_id("s")).await.unwrap_err();
    assert_eq!(error.to_string(), "reading a session failed");
    let debug = format!("{error:?}");
    assert!(!debug.contains(user_id().as_str()) && !debug.contains("record"), "{debug}");
}
