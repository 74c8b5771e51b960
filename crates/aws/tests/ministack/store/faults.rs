//! What the store makes of a service that is slow, busy or gone.

use aws::store::DynamoStore;
use aws_sdk_dynamodb::{Client, config};
use domain::{
    job::Job,
    ports::{CommitError, Expect, Store, Version, Write},
};
use serde_json::json;
use testkit::{job_id, session_id, user_id};

use super::{
    Place, job, session,
    wire::{Trouble, Wire, cancelled, refused},
};

/// A store whose calls go over the wire.
async fn wired(place: &Place) -> (Wire, DynamoStore) {
    let wire = Wire::default();
    let config = config::Builder::from(&place.server.config_over(wire.http()));
    (wire, DynamoStore::new(Client::from_conf(config.build()), place.table().await))
}

fn take() -> Write {
    Write::TakeSlot { user: user_id(), limit: 5 }
}

fn put(job: impl Into<Job>, expect: Expect) -> Write {
    Write::Job(Box::new(job.into()), expect)
}

#[tokio::test]
async fn a_transaction_whose_answer_was_lost_is_done_once() {
    let Some(place) = Place::make() else { return };
    let (wire, store) = wired(&place).await;
    wire.trouble("TransactWriteItems", 2, &Trouble::Lost);
    store.commit(vec![take(), put(job("s", "j"), Expect::New)]).await.unwrap();
    assert_eq!(wire.calls("TransactWriteItems"), 3);
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 1);
    let read = store.job(job_id("j")).await.unwrap().unwrap();
    assert_eq!(read.version, Version(1));
}

#[tokio::test]
async fn a_slot_alone_whose_answer_was_lost_is_taken_once() {
    let Some(place) = Place::make() else { return };
    let (wire, store) = wired(&place).await;
    wire.trouble("TransactWriteItems", 1, &Trouble::Lost);
    store.commit(vec![take()]).await.unwrap();
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 1);
}

#[tokio::test]
async fn a_write_by_itself_whose_answer_was_lost_is_no_conflict_with_itself() {
    let Some(place) = Place::make() else { return };
    let (wire, store) = wired(&place).await;
    store.commit(vec![put(job("s", "j"), Expect::New)]).await.unwrap();
    wire.trouble("UpdateItem", 2, &Trouble::Lost);
    let later = job("s", "j").recheck_at(super::at(5));
    store.commit(vec![put(later.clone(), Expect::At(Version(1)))]).await.unwrap();
    assert_eq!(wire.calls("UpdateItem"), 3);
    let read = store.job(job_id("j")).await.unwrap().unwrap();
    assert_eq!((read.value, read.version), (later.into(), Version(2)));

    // Another's write at that version is a conflict, whatever became of our own try.
    wire.trouble("UpdateItem", 1, &Trouble::Answer(500, json!({"__type": "InternalServerError"})));
    let stale = store.commit(vec![put(job("s", "j"), Expect::At(Version(1)))]).await;
    assert!(matches!(stale, Err(CommitError::Conflict)), "{stale:?}");
}

#[tokio::test]
async fn what_another_hid_is_said_to_be_unknown() {
    let Some(place) = Place::make() else { return };
    let (wire, store) = wired(&place).await;
    store.commit(vec![put(job("s", "j"), Expect::New)]).await.unwrap();
    for read in 1..3 {
        let write = put(job("s", "j").recheck_at(super::at(9)), Expect::At(Version(read)));
        store.commit(vec![write]).await.unwrap();
    }
    wire.trouble("UpdateItem", 1, &Trouble::Answer(500, json!({"__type": "InternalServerError"})));
    let hidden = store.commit(vec![put(job("s", "j"), Expect::At(Version(1)))]).await;
    assert!(matches!(hidden, Err(CommitError::Backend(_))), "{hidden:?}");
}

#[tokio::test]
async fn transactions_that_met_others_come_through() {
    let Some(place) = Place::make() else { return };
    let (wire, store) = wired(&place).await;
    let busy = [
        cancelled(&["None", "TransactionConflict"]),
        cancelled(&["ThrottlingError", "None"]),
        cancelled(&["ProvisionedThroughputExceeded", "TransactionConflict"]),
        refused("TransactionInProgressException", json!({})),
        refused("ThrottlingException", json!({})),
        refused("RequestLimitExceeded", json!({})),
        Trouble::Answer(503, json!({"__type": "ServiceUnavailable"})),
        Trouble::Answer(502, json!("Bad Gateway")),
    ];
    for trouble in &busy {
        wire.trouble("TransactWriteItems", 1, trouble);
    }
    store.commit(vec![take(), put(job("s", "j"), Expect::New)]).await.unwrap();
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 1);

    wire.trouble("UpdateItem", 1, &refused("TransactionConflictException", json!({})));
    wire.trouble("UpdateItem", 1, &refused("ProvisionedThroughputExceededException", json!({})));
    let later = job("s", "j").recheck_at(super::at(5));
    store.commit(vec![put(later, Expect::At(Version(1)))]).await.unwrap();
}

#[tokio::test]
async fn a_storm_of_conflicts_ends() {
    let Some(place) = Place::make() else { return };
    let (wire, store) = wired(&place).await;
    wire.trouble("TransactWriteItems", 1000, &cancelled(&["TransactionConflict"]));
    let given_up = store.commit(vec![take()]).await;
    assert!(matches!(given_up, Err(CommitError::Backend(_))), "{given_up:?}");
    let tries = wire.calls("TransactWriteItems");
    assert!((10..=40).contains(&tries), "{tries} tries");
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_the_answer_whatever_else_went_wrong() {
    let Some(place) = Place::make() else { return };
    let (wire, store) = wired(&place).await;
    let writes = || {
        let answer = Write::RequireOpen(session_id("s"));
        vec![answer, take(), put(job("s", "j"), Expect::New)]
    };
    let fails = "ConditionalCheckFailed";
    wire.trouble("TransactWriteItems", 1, &cancelled(&[fails, "TransactionConflict", "None"]));
    assert!(matches!(store.commit(writes()).await, Err(CommitError::Closed)));
    wire.trouble("TransactWriteItems", 1, &cancelled(&["TransactionConflict", fails, fails]));
    assert!(matches!(store.commit(writes()).await, Err(CommitError::QuotaReached)));
    wire.trouble("TransactWriteItems", 1, &cancelled(&["None", "None", fails]));
    assert!(matches!(store.commit(writes()).await, Err(CommitError::Conflict)));
    wire.trouble("TransactWriteItems", 1, &cancelled(&["ItemCollectionSizeLimitExceeded"]));
    assert!(matches!(store.commit(writes()).await, Err(CommitError::Backend(_))));
    assert_eq!(wire.calls("TransactWriteItems"), 4);
}

#[tokio::test]
async fn keys_that_were_left_over_are_asked_for_again() {
    let Some(place) = Place::make() else { return };
    let (wire, store) = wired(&place).await;
    store.commit(vec![put(job("s", "j"), Expect::New)]).await.unwrap();
    wire.trouble("BatchGetItem", 2, &Trouble::Unprocessed);
    let open = store.open_jobs(session_id("s"), domain::command::Concurrency::Serial, 9).await;
    assert_eq!(open.unwrap().len(), 1);
    assert_eq!(wire.calls("BatchGetItem"), 3);
}

#[tokio::test]
async fn no_error_shows_what_was_sent_or_stored() {
    let Some(place) = Place::make() else { return };
    let (wire, store) = wired(&place).await;
    let quoting = json!({"message": "1 validation error detected: Value '[s3cret]' at 'items'"});
    wire.trouble("TransactWriteItems", 1, &refused("ValidationException", quoting));
    let error = store.commit(vec![take()]).await.unwrap_err();
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");

    store.commit(vec![Write::Session(Box::new(session("s")), Expect::New)]).await.unwrap();
    for _ in 0..9 {
        wire.trouble("Query", 1, &Trouble::Garbled);
    }
    let error = store.session(session_id("s")).await.unwrap_err();
    assert_eq!(error.to_string(), "reading a session failed");
    let words = format!("{error:?}");
    assert!(!words.contains(user_id().as_str()) && !words.contains("record"), "{words}");
}
