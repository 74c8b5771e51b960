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

struct Fixture {
    _dir: TempDir,
    store: SqliteStore,
    changes: LocalChanges,
    clock: SimClock,
}

fn fixture() -> Fixture {
    let dir = tempdir().unwrap();
    let db = Database::open(dir.path()).unwrap();
    let listeners = Arc::<ChangeListeners>::default();
    let clock = SimClock::default();
    Fixture {
        store: SqliteStore::new(db.clone(), Arc::clone(&listeners)),
        changes: LocalChanges::new(db, listeners, Arc::new(clock.clone())),
        clock,
        _dir: dir,
    }
}

impl Fixture {
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

    /// How many jobs have a listener.
    fn listened_jobs(&self) -> usize {
        self.changes.listeners.jobs.values.lock().len()
    }
}

#[tokio::test]
async fn a_commit_wakes_all_listeners_of_its_job() {
    let fixture = fixture();
    fixture.put(Expect::New).await;
    let until = fixture.later();
    let wait = || fixture.changes.job_changed(job_id("j"), Version(1), until);
    let waiting = join(wait(), wait());
    let (woken, ()) = join(waiting, fixture.put(Expect::At(Version(1)))).await;
    woken.0.unwrap();
    woken.1.unwrap();
    assert_eq!(fixture.listened_jobs(), 0);
}

#[tokio::test]
async fn a_change_before_the_wait_is_seen() {
    let fixture = fixture();
    fixture.put(Expect::New).await;
    fixture.put(Expect::At(Version(1))).await;
    fixture.changes.job_changed(job_id("j"), Version(1), fixture.later()).await.unwrap();
}

#[tokio::test]
async fn a_change_of_another_job_wakes_no_listener() {
    let fixture = fixture();
    let until = fixture.later();
    let wait = fixture.changes.job_changed(job_id("other"), Version(0), until);
    let mut wait = std::pin::pin!(wait);
    assert!(wait.as_mut().now_or_never().is_none());
    fixture.put(Expect::New).await;
    assert!(wait.as_mut().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline() {
    let fixture = fixture();
    fixture.changes.job_changed(job_id("j"), Version(0), fixture.later()).await.unwrap();
    assert_eq!(fixture.listened_jobs(), 0);
}

#[tokio::test]
async fn the_last_dropped_listener_removes_its_entry() {
    let fixture = fixture();
    let until = fixture.later();
    let mut first = Box::pin(fixture.changes.job_changed(job_id("j"), Version(0), until));
    let mut second = Box::pin(fixture.changes.job_changed(job_id("j"), Version(0), until));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    assert_eq!(fixture.listened_jobs(), 1);
    drop(second);
    assert_eq!(fixture.listened_jobs(), 0);
}
