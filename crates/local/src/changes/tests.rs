use std::time::Duration;

use domain::{
    job::{self, Job, Work},
    ports::{Expect, Store, Write},
};
use futures::{FutureExt, future::join};
use tempfile::{TempDir, tempdir};
use testkit::{SimClock, job_id, session_id, user_id};

use super::*;
use crate::store::SqliteStore;

struct Made {
    _dir: TempDir,
    store: SqliteStore,
    changes: LocalChanges,
    clock: SimClock,
}

fn make() -> Made {
    let dir = tempdir().unwrap();
    let db = Database::open(dir.path()).unwrap();
    let bells = Arc::<Bells>::default();
    let clock = SimClock::default();
    Made {
        store: SqliteStore::new(db.clone(), Arc::clone(&bells)),
        changes: LocalChanges::new(db, bells, Arc::new(clock.clone())),
        clock,
        _dir: dir,
    }
}

impl Made {
    fn job(&self) -> job::Queued {
        let (id, session) = (job_id("j"), session_id("s"));
        let created_at = self.clock.now();
        Job::accept(job::Common { id, session, user: user_id(), work: Work::Start, created_at })
    }

    async fn put(&self, expect: Expect) {
        let write = Write::Job(Box::new(self.job().into()), expect);
        self.store.commit(vec![write]).await.unwrap();
    }

    fn later(&self) -> Timestamp {
        self.clock.now() + Duration::from_hours(1)
    }

    fn hung(&self) -> usize {
        self.changes.bells.hung().len()
    }
}

#[tokio::test]
async fn a_commit_wakes_all_who_wait() {
    let made = make();
    made.put(Expect::New).await;
    let until = made.later();
    let wait = || made.changes.job_changed(job_id("j"), Version(1), until);
    let waiting = join(wait(), wait());
    let (woken, ()) = join(waiting, made.put(Expect::At(Version(1)))).await;
    woken.0.unwrap();
    woken.1.unwrap();
    assert_eq!(made.hung(), 0);
}

#[tokio::test]
async fn a_change_before_the_wait_is_seen() {
    let made = make();
    made.put(Expect::New).await;
    made.put(Expect::At(Version(1))).await;
    made.changes.job_changed(job_id("j"), Version(1), made.later()).await.unwrap();
}

#[tokio::test]
async fn another_jobs_change_wakes_nobody() {
    let made = make();
    let until = made.later();
    let wait = made.changes.job_changed(job_id("other"), Version(0), until);
    let mut wait = std::pin::pin!(wait);
    assert!(wait.as_mut().now_or_never().is_none());
    made.put(Expect::New).await;
    assert!(wait.as_mut().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_time() {
    let made = make();
    made.changes.job_changed(job_id("j"), Version(0), made.later()).await.unwrap();
    assert_eq!(made.hung(), 0);
}

#[tokio::test]
async fn who_goes_away_takes_the_bell_down() {
    let made = make();
    let until = made.later();
    let mut first = Box::pin(made.changes.job_changed(job_id("j"), Version(0), until));
    let mut second = Box::pin(made.changes.job_changed(job_id("j"), Version(0), until));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    assert_eq!(made.hung(), 1);
    drop(second);
    assert_eq!(made.hung(), 0);
}
