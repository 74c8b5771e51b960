use domain::{
    Secret,
    file::{FileRefusal, NewFile},
    job::Status as JobStatus,
    message::Message,
    ports::Store,
    session::Status,
};
use testkit::{Fakes, session_id, task_id};

use super::*;
use crate::tests::env;

fn file(path: &str) -> NewFile {
    NewFile { path: path.into(), mode: None, base64: "czNjcmV0".into() }
}

/// A session whose runner answers, and that has two files.
fn starting() -> Fakes {
    let fakes = Fakes::new().with_spec(|spec| {
        spec.files = Secret::new(vec![file("a"), file("b")]);
    });
    fakes.with_starting_session("s")
}

async fn observe(fakes: &Fakes) {
    let facts = fakes.compute.facts(&task_id("s")).unwrap();
    crate::handle(&env(fakes), Message::TaskEvent { facts }).await.unwrap();
}

#[tokio::test]
async fn files_are_written_once_before_the_session_is_ready_and_then_dropped() {
    let fakes = starting();
    observe(&fakes).await;
    observe(&fakes).await;
    assert_eq!(fakes.shell.files(), [file("a"), file("b")]);
    let session = fakes.session("s");
    assert_eq!((session.status(), session.files()), (Status::Ready, [].as_slice()));
    assert_eq!(session.common().files_claimed_until, None);
}

#[tokio::test]
async fn while_a_worker_writes_the_files_no_other_one_does() {
    let fakes = starting();
    let read = fakes.store.session(session_id("s")).await.unwrap().unwrap();
    let claimed = read.value.claim_files(fakes.now() + CLAIM);
    assert!(transition::put(&env(&fakes), claimed, read.version).await.unwrap());
    observe(&fakes).await;
    assert!(fakes.shell.files().is_empty());
    assert_eq!(fakes.session("s").status(), Status::Starting);
    let held = fakes.queue.take_held();
    assert!(held.iter().any(|one| matches!(one.message, Message::ProbeTask { .. })), "{held:?}");
    // That worker has died.
    fakes.clock.advance(CLAIM);
    observe(&fakes).await;
    assert_eq!(fakes.shell.files().len(), 2);
    assert_eq!(fakes.session("s").status(), Status::Ready);
}

#[tokio::test]
async fn a_file_that_can_not_be_written_fails_the_start_and_says_why() {
    let fakes = starting();
    fakes.shell.refuse_files(FileRefusal::PermissionDenied);
    observe(&fakes).await;
    let session = fakes.session("s");
    assert_eq!(session.status(), Status::Stopping);
    assert_eq!(
        (session.reason(), session.note()),
        (Some(Reason::FilesRefused), Some("files[0]: refused"))
    );
    assert!(session.files().is_empty(), "they are dropped");
    let entries = fakes.store.entries(session.id());
    assert_eq!(entries.last().unwrap().cause.as_deref(), Some("files_refused: files[0]: refused"));
    let (env, id) = (env(&fakes), session.id());
    let close = crate::close_session::close(&env, id, None, domain::timeline::Actor::Sweep);
    let ended = close.await.unwrap();
    assert_eq!(ended.status(), Status::Failed);
    let start = fakes.store.job(ended.start_job()).await.unwrap().unwrap().value;
    assert_eq!(start.status(), JobStatus::Failed);
    assert!(
        format!("{start:?}").contains("a file can't be written: files[0]: refused"),
        "{start:?}"
    );
}

#[tokio::test]
async fn no_content_is_shown_by_debug() {
    let session = starting().session("s");
    assert!(!format!("{session:?} {:?}", file("a")).contains("czNjcmV0"));
}
