//! Slots, turns and open sessions: writes whose condition is not a version.

use std::{num::NonZeroU32, time::Duration};

use domain::{
    Timestamp,
    ports::{CommitError, Expect, Quota, Write},
    rate::Rate,
    session::{Event, Reason},
};
use futures::future::join_all;

use super::{Made, after, conflicts, job, put, put_job, put_session, queued, stamp, waiting};
use crate::{job_id, provision, session_id, task_id, user_id};

pub(super) async fn slots_are_given_up_to_the_limit(store: &Made) {
    put(store, vec![take(2)]).await;
    put(store, vec![take(2)]).await;
    let third = store.commit(vec![take(2)]).await;
    assert!(matches!(third, Err(CommitError::QuotaReached)), "{third:?}");
    put(store, vec![Write::FreeSlot { user: user_id(), session: session_id("s") }]).await;
    put(store, vec![take(2)]).await;
    put(store, vec![put_session(&waiting("w", 0), Expect::New)]).await;
    assert_eq!(store.quota(&user_id()).await.unwrap(), Quota { active: 2, waiting: 1 });
    let nobody = domain::UserId::new("nobody");
    assert_eq!(store.quota(&nobody).await.unwrap(), Quota::default());
}

pub(super) async fn a_race_for_slots_never_exceeds_the_limit(store: &Made) {
    let takers = (0..20).map(|_| async move { store.commit(vec![take(5)]).await.is_ok() });
    let taken = join_all(takers).await.into_iter().filter(|taken| *taken).count();
    assert_eq!(taken, 5);
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 5);
}

pub(super) async fn a_slot_is_not_taken_by_a_transaction_that_fails(store: &Made) {
    put(store, vec![put_job(job("s", "j"), Expect::New)]).await;
    conflicts(store, vec![take(5), put_job(job("s", "j"), Expect::New)]).await;
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 0);
}

pub(super) async fn starts_are_counted_by_the_rate_of_their_user(store: &Made) {
    // A minute's tokens are two, and one comes back after 30 s.
    put(store, vec![take(9), start(0)]).await;
    put(store, vec![start(0)]).await;
    rate_limited(store, vec![take(9), start(0)], 30).await;
    rate_limited(store, vec![start(20)], 10).await;
    rate_limited(store, vec![start(-20)], 50).await;
    put(store, vec![take(9), start(30)]).await;
    rate_limited(store, vec![start(31)], 29).await;
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 2);
    let of_another =
        Write::CountStart { user: domain::UserId::new("another"), at: at(31), rate: rate() };
    put(store, vec![of_another]).await;
    // A clock that was set back by an hour gives one token, and no more.
    put(store, vec![start(-3600)]).await;
    rate_limited(store, vec![start(-3600)], 30).await;
    for _ in 0..2 {
        put(store, vec![start(100_000)]).await;
    }
    rate_limited(store, vec![start(100_000)], 30).await;
    put(store, vec![Write::FreeSlot { user: user_id(), session: session_id("s") }]).await;
    put(store, vec![start(100_030)]).await;
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 1);
}

pub(super) async fn a_start_that_is_refused_counts_nothing(store: &Made) {
    put(store, vec![take(1)]).await;
    put(store, vec![put_job(job("s", "j"), Expect::New)]).await;
    for _ in 0..5 {
        let refused = store.commit(vec![start(0), take(1)]).await;
        assert!(matches!(refused, Err(CommitError::QuotaReached)), "{refused:?}");
        conflicts(store, vec![start(0), put_job(job("s", "j"), Expect::New)]).await;
    }
    for _ in 0..2 {
        put(store, vec![start(0), take(9)]).await;
    }
    rate_limited(store, vec![start(0), take(9)], 30).await;
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 3);
}

pub(super) async fn a_race_of_starts_never_exceeds_the_rate(store: &Made) {
    let rate = Rate::per_minute(NonZeroU32::new(6).unwrap(), 1);
    let starts = (0..12).map(|_| async move {
        loop {
            let start = Write::CountStart { user: user_id(), at: at(0), rate };
            match store.commit(vec![take(99), start]).await {
                Ok(()) => return true,
                Err(CommitError::Conflict) => {}
                Err(CommitError::RateLimited(wait)) => {
                    assert_eq!(wait.as_secs(), 10);
                    return false;
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    let started = join_all(starts).await.into_iter().filter(|started| *started).count();
    assert_eq!(started, 6);
    assert_eq!(store.quota(&user_id()).await.unwrap().active, 6);
}

pub(super) async fn one_job_has_the_turn_at_a_time(store: &Made) {
    put(store, vec![take_turn("a")]).await;
    put(store, vec![take_turn("a")]).await;
    conflicts(store, vec![take_turn("b")]).await;
    put(store, vec![end_turn("b")]).await;
    conflicts(store, vec![take_turn("b")]).await;
    put(store, vec![end_turn("a")]).await;
    put(store, vec![end_turn("a")]).await;
    put(store, vec![take_turn("b")]).await;
}

pub(super) async fn only_an_open_session_passes_as_open(store: &Made) {
    let refused = store.commit(vec![Write::RequireOpen(session_id("none"))]).await;
    assert!(matches!(refused, Err(CommitError::Closed)), "{refused:?}");

    let provisioning = provision(queued("open").session, stamp(1)).session;
    let session = after(provisioning, [Event::Placed(task_id("s")), Event::Ready]);
    put(store, vec![put_session(&session, Expect::New)]).await;
    let accept = put_job(job("open", "j"), Expect::New);
    put(store, vec![Write::RequireOpen(session.id()), accept]).await;
    assert!(store.job(job_id("j")).await.unwrap().is_some());

    let reason = Reason::UserStop;
    let endings = [
        ("drains", Event::Drain { reason, note: None }),
        ("stops", Event::Stop { reason, note: None }),
    ];
    for (name, ending) in endings {
        let session = after(queued(name).session, [ending]);
        put(store, vec![put_session(&session, Expect::New)]).await;
        let accept = put_job(job(name, name), Expect::New);
        let refused = store.commit(vec![Write::RequireOpen(session.id()), accept]).await;
        assert!(matches!(refused, Err(CommitError::Closed)), "{name}: {refused:?}");
        assert_eq!(store.job(job_id(name)).await.unwrap(), None);
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis((1_000_000 + seconds) * 1000)
}

fn rate() -> Rate {
    Rate::per_minute(NonZeroU32::new(2).unwrap(), 1)
}

fn start(seconds: i64) -> Write {
    Write::CountStart { user: user_id(), at: at(seconds), rate: rate() }
}

/// Commits in vain, because the user may start a session only after so many seconds.
async fn rate_limited(store: &Made, writes: Vec<Write>, seconds: u64) {
    let refused = store.commit(writes).await;
    let expected = Duration::from_secs(seconds);
    assert!(
        matches!(refused, Err(CommitError::RateLimited(wait)) if wait == expected),
        "{refused:?}"
    );
}

fn take(limit: u32) -> Write {
    Write::TakeSlot { user: user_id(), limit }
}

fn take_turn(job: &str) -> Write {
    Write::TakeTurn { session: session_id("s"), job: job_id(job) }
}

fn end_turn(job: &str) -> Write {
    Write::EndTurn { session: session_id("s"), job: job_id(job) }
}
