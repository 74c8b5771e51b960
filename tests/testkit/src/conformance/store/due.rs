//! Due records, and the removal of old ones.

use domain::{
    Secret,
    job::{Job, Outcome, Work},
    ports::{Due, Expect, Stream, Version, Write},
    session::{Event, Reason, Session},
    warm::Warm,
    webhook::Attempt,
};

use super::{
    Made, after, at, first, job, job_of, put, put_job, put_session, queued,
    records::{delivery, warm_id},
    stamp,
};
use crate::{finish, job_id, kind, session_id, user_id};

pub(super) async fn due_records_come_longest_overdue_first(store: &Made) {
    let session = queued("s").session.recheck_at(at(30));
    let queued_job = job("s", "j").recheck_at(at(20));
    let warm = Warm::plan(warm_id(1), kind(), at(0), at(10));
    let delivery = delivery("d");
    let writes = vec![
        put_session(&session, Expect::New),
        put_job(queued_job, Expect::New),
        Write::Warm(Box::new(warm.into()), Expect::New),
        Write::Delivery(Box::new(delivery.clone()), Expect::New),
    ];
    put(store, writes).await;
    let mut all = vec![
        Due::Delivery(delivery.payload().id),
        Due::Warm(warm_id(1)),
        Due::Job { job: job_id("j"), session: session_id("s") },
        Due::Session(session_id("s")),
    ];
    all.retain(|due| store.lists_due_jobs() || !matches!(due, Due::Job { .. }));
    assert_eq!(store.due(at(30), 10).await.unwrap(), all);
    assert_eq!(store.due(at(29), 10).await.unwrap(), all[..all.len() - 1]);
    assert_eq!(store.due(at(30), 2).await.unwrap(), all[..2]);
    assert_eq!(store.due(at(-1), 10).await.unwrap(), []);
}

pub(super) async fn a_final_record_is_never_due(store: &Made) {
    let cancelled = Outcome::Cancelled { exit: None, failure: None };
    let domain::webhook::Delivery::Pending(pending) = delivery("d") else { unreachable!() };
    let attempt = Attempt { at: at(0), status: Some(200), error: None };
    let delivered = pending.begin(at(0)).delivered(attempt, at(1));
    let retired = Warm::plan(warm_id(1), kind(), at(0), at(10)).retire();
    let writes = vec![
        put_session(&ended("s", 5), Expect::New),
        put_job(job("s", "j").end(cancelled, at(1)), Expect::New),
        Write::Warm(Box::new(retired.into()), Expect::New),
        Write::Delivery(Box::new(delivered.into()), Expect::New),
    ];
    put(store, writes).await;
    assert_eq!(store.due(at(1_000_000), 10).await.unwrap(), []);
}

pub(super) async fn a_postponed_record_is_due_later(store: &Made) {
    let session = queued("s").session;
    put(store, vec![put_session(&session.clone().recheck_at(at(10)), Expect::New)]).await;
    put(store, vec![put_session(&session.clone().recheck_at(at(50)), first())]).await;
    let due = [Due::Session(session.id())];
    assert_eq!(store.due(at(49), 10).await.unwrap(), []);
    assert_eq!(store.due(at(50), 10).await.unwrap(), due);
    put(store, vec![put_session(&session.recheck_at(at(60)), Expect::At(Version(2)))]).await;
    assert_eq!(store.due(at(59), 10).await.unwrap(), []);
    assert_eq!(store.due(at(1000), 10).await.unwrap(), due);
}

pub(super) async fn a_postponed_job_is_due_later(store: &Made) {
    put(store, vec![put_job(job("s", "j").recheck_at(at(10)), Expect::New)]).await;
    put(store, vec![put_job(job("s", "j").recheck_at(at(50)), first())]).await;
    let mut due = vec![Due::Job { job: job_id("j"), session: session_id("s") }];
    due.retain(|_| store.lists_due_jobs());
    assert_eq!(store.due(at(49), 10).await.unwrap(), []);
    assert_eq!(store.due(at(50), 10).await.unwrap(), due);
    put(store, vec![put_job(job("s", "j").claim("w", at(50)), Expect::At(Version(2)))]).await;
    assert_eq!(store.due(at(51), 10).await.unwrap(), []);
    assert_eq!(store.due(at(1000), 10).await.unwrap(), due);
}

pub(super) async fn old_sessions_are_removed_with_all_their_records(store: &Made) {
    for (name, seconds) in [("old", 10), ("older", 5), ("young", 100)] {
        put(store, vec![put_session(&ended(name, seconds), Expect::New)]).await;
    }
    put(store, vec![put_session(&queued("live").session, Expect::New)]).await;
    let over = |name: &str| -> Job {
        let outcome = Outcome::Completed { exit: None, failure: None };
        job_of(name, name, Work::Start).end(outcome, at(1)).into()
    };
    for name in ["old", "young"] {
        let bytes = Secret::new(b"text".to_vec());
        let piece = Write::Output { job: job_id(name), stream: Stream::Stdout, offset: 0, bytes };
        put(store, vec![put_job(over(name), Expect::New), piece]).await;
    }
    let entries = queued("old").entries.into_iter();
    put(store, entries.map(|entry| Write::Entry(Box::new(entry))).collect()).await;

    assert_eq!(store.forget(at(50), 1).await.unwrap(), 1);
    assert_eq!(store.forget(at(50), 10).await.unwrap(), 1);
    assert_eq!(store.forget(at(50), 10).await.unwrap(), 0);
    let left = store.sessions(&user_id(), None, None, 10).await.unwrap();
    let left: Vec<_> = left.items.iter().map(Session::id).collect();
    assert_eq!(left, ["young", "live"].map(session_id));
    assert_eq!(store.job(job_id("old")).await.unwrap(), None);
    assert_eq!(store.timeline(session_id("old"), 0, 10).await.unwrap(), Vec::new());
    let gone = store.output(job_id("old"), Stream::Stdout, 0, 9).await.unwrap();
    assert_eq!(gone.expose(), b"");
    let kept = store.output(job_id("young"), Stream::Stdout, 0, 9).await.unwrap();
    assert_eq!(kept.expose(), b"text");
}

/// A session that ended at this second.
fn ended(name: &str, seconds: i64) -> Session {
    let stop = Event::Stop { reason: Reason::UserStop, note: None };
    let stopping = after(queued(name).session, [stop]);
    finish(stopping, stamp(seconds)).session
}
