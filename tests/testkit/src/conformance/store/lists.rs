//! Lists: order, pages and members.

use domain::{
    JobId, UserId,
    command::Concurrency,
    job::{Outcome, Work},
    ports::{Expect, Write},
    session::{Session, Status},
    warm::Warm,
    webhook::Delivery,
};

use super::{
    Made, at, first, job, job_of, put, put_job, put_session, queued, queued_of,
    records::{delivery, warm_id},
    stamp, waiting,
};
use crate::{admit, command, job_id, kind, provision, session_id, task_id, user_id};

pub(super) async fn sessions_are_listed_newest_first_in_pages(store: &Made) {
    for name in ["b", "d", "a", "c", "e"] {
        put(store, vec![put_session(&queued(name).session, Expect::New)]).await;
    }
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store.sessions(&user_id(), None, cursor.as_deref(), 2).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(Session::id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["e", "d", "c", "b", "a"].map(session_id));
}

pub(super) async fn sessions_are_listed_by_status_and_owner(store: &Made) {
    let other = UserId::new("bob");
    let provisioning = provision(queued("p").session, stamp(1)).session;
    for session in [queued("q").session, provisioning, queued_of("x", &other)] {
        put(store, vec![put_session(&session, Expect::New)]).await;
    }
    let ids = |user: UserId, status: Option<Status>| async move {
        let page = store.sessions(&user, status, None, 10).await.unwrap();
        page.items.iter().map(Session::id).collect::<Vec<_>>()
    };
    assert_eq!(ids(user_id(), None).await, ["q", "p"].map(session_id));
    assert_eq!(ids(user_id(), Some(Status::Queued)).await, [session_id("q")]);
    assert_eq!(ids(user_id(), Some(Status::Ready)).await, []);
    assert_eq!(ids(other, Some(Status::Queued)).await, [session_id("x")]);
}

pub(super) async fn waiting_sessions_come_oldest_first(store: &Made) {
    for (name, seconds) in [("b", 2), ("a", 1), ("c", 3)] {
        put(store, vec![put_session(&waiting(name, seconds), Expect::New)]).await;
    }
    put(store, vec![put_session(&queued("q").session, Expect::New)]).await;
    let admitted = admit(waiting("a", 1), stamp(1)).session;
    put(store, vec![put_session(&admitted, first())]).await;
    let found = store.waiting(&user_id()).await.unwrap();
    let ids: Vec<_> = found.iter().map(|one| one.value.id()).collect();
    assert_eq!(ids, ["b", "c"].map(session_id));
    assert_eq!(store.waiting(&UserId::new("bob")).await.unwrap(), Vec::new());
}

pub(super) async fn jobs_are_listed_oldest_first_in_pages(store: &Made) {
    for name in ["b", "a", "c"] {
        put(store, vec![put_job(job("s", name), Expect::New)]).await;
    }
    put(store, vec![put_job(job_of("s", "0", Work::Start), Expect::New)]).await;
    put(store, vec![put_job(job("other", "x"), Expect::New)]).await;
    let mut seen: Vec<JobId> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store.jobs(session_id("s"), cursor.as_deref(), 3).await.unwrap();
        seen.extend(page.items.iter().map(domain::job::Job::id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["0", "a", "b", "c"].map(job_id));
}

pub(super) async fn open_jobs_are_commands_that_are_not_final(store: &Made) {
    for name in ["d", "b", "a", "c"] {
        put(store, vec![put_job(job("s", name), Expect::New)]).await;
    }
    put(store, vec![put_job(job_of("s", "0", Work::Start), Expect::New)]).await;
    put(store, vec![put_job(job("other", "x"), Expect::New)]).await;
    let outcome = Outcome::Cancelled { exit: None, failure: None };
    put(store, vec![put_job(job("s", "b").end(outcome, at(1)), first())]).await;
    put(store, vec![put_job(job("s", "c").claim("w", at(1)), first())]).await;

    let ids = |limit: u32| async move {
        let found = store.open_jobs(session_id("s"), Concurrency::Serial, limit).await.unwrap();
        found.iter().map(|one| one.value.id()).collect::<Vec<_>>()
    };
    assert_eq!(ids(10).await, ["a", "c", "d"].map(job_id));
    assert_eq!(ids(2).await, ["a", "c"].map(job_id));

    let mut parallel = command("true");
    parallel.concurrency = Concurrency::Parallel;
    let work = Work::Execute(Box::new(parallel));
    put(store, vec![put_job(job_of("s", "aa", work), Expect::New)]).await;
    let found = store.open_jobs(session_id("s"), Concurrency::Parallel, 10).await.unwrap();
    assert_eq!(found.iter().map(|one| one.value.id()).collect::<Vec<_>>(), [job_id("aa")]);
    assert_eq!(ids(10).await, ["a", "c", "d"].map(job_id));
}

pub(super) async fn deliveries_are_listed_newest_first(store: &Made) {
    let made: Vec<Delivery> = ["a", "b", "c"].map(delivery).into();
    for one in &made {
        put(store, vec![Write::Delivery(Box::new(one.clone()), Expect::New)]).await;
    }
    let page = store.deliveries(&user_id(), None, None, 2).await.unwrap();
    assert_eq!(page.items, [made[2].clone(), made[1].clone()]);
    let cursor = page.next.expect("there is one more");
    let page = store.deliveries(&user_id(), None, Some(&cursor), 2).await.unwrap();
    assert_eq!((page.items, page.next), (vec![made[0].clone()], None));

    let count = |session: &str| {
        let id = session_id(session);
        async move { store.deliveries(&user_id(), Some(id), None, 9).await.unwrap().items.len() }
    };
    assert_eq!((count("s").await, count("other").await), (3, 0));
    let page = store.deliveries(&UserId::new("bob"), None, None, 9).await.unwrap();
    assert_eq!(page.items, Vec::new());
}

pub(super) async fn warm_tasks_are_listed_by_kind_while_they_live(store: &Made) {
    let plan = |number| Warm::plan(warm_id(number), kind(), at(0), at(60));
    let mut larger = kind();
    larger.image = "other".into();
    let other: Warm = Warm::plan(warm_id(9), larger, at(0), at(60)).into();
    let answered = |number| plan(number).answered(task_id("w"), at(600));
    let records: [Warm; 5] = [
        plan(2).into(),
        answered(1).into(),
        answered(3).claim(session_id("s")).into(),
        plan(4).retire().into(),
        other,
    ];
    for warm in records {
        put(store, vec![Write::Warm(Box::new(warm), Expect::New)]).await;
    }
    let found = store.warm_of(&kind()).await.unwrap();
    let ids: Vec<_> = found.iter().map(|one| one.value.id()).collect();
    assert_eq!(ids, [1, 2].map(warm_id));
}
