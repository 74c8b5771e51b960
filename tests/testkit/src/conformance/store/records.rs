//! Records: written under a condition, read back as they were.

use std::collections::BTreeMap;

use domain::{
    DeliveryId, Secret, WarmId,
    command::Command,
    job::{Exit, Job, Outcome, Work},
    ports::{Expect, Version, Write},
    session::{Event, Reason, Session, Status, Transition, Waiter, Waits},
    task::{StopCause, StopCode},
    timeline::{Entry, EventKind, Stamp},
    warm::Warm,
    webhook::{Delivery, EventType, Payload, Pending},
};
use futures::future::join_all;

use super::{
    Made, at, conflicts, first, job, job_of, put, put_job, put_session, queued, stamp, waiting,
};
use crate::{admit, command, finish, job_id, kind, provision, session_id, task_id, user_id};

pub(super) async fn a_new_record_is_read_back_with_version_one(store: &Made) {
    let moved = queued("s");
    let job: Job = job("s", "j").into();
    let delivery = delivery("d");
    let warm: Warm = Warm::plan(warm_id(1), kind(), at(0), at(60)).into();
    let mut writes = vec![
        put_session(&moved.session, Expect::New),
        put_job(job.clone(), Expect::New),
        Write::Delivery(Box::new(delivery.clone()), Expect::New),
        Write::Warm(Box::new(warm.clone()), Expect::New),
    ];
    writes.extend(moved.entries.into_iter().map(|entry| Write::Entry(Box::new(entry))));
    put(store, writes).await;

    let read = store.session(session_id("s")).await.unwrap().expect("it was written");
    assert_eq!((read.value, read.version), (moved.session, Version(1)));
    let read = store.job(job_id("j")).await.unwrap().expect("it was written");
    assert_eq!((read.value.outline(), read.version), (job.outline(), Version(1)));
    let read = store.delivery(delivery.payload().id).await.unwrap().expect("it was written");
    assert_eq!((read.value, read.version), (delivery, Version(1)));
    let read = store.warm(warm.id()).await.unwrap().expect("it was written");
    assert_eq!((read.value, read.version), (warm, Version(1)));
}

pub(super) async fn a_missing_record_is_none(store: &Made) {
    assert_eq!(store.session(session_id("s")).await.unwrap(), None);
    assert_eq!(store.job(job_id("j")).await.unwrap(), None);
    assert_eq!(store.delivery(delivery("d").payload().id).await.unwrap(), None);
    assert_eq!(store.warm(warm_id(1)).await.unwrap(), None);
    assert_eq!(store.timeline(session_id("s"), 0, 10).await.unwrap(), Vec::new());
}

pub(super) async fn a_record_is_new_only_once(store: &Made) {
    let session = queued("s").session;
    put(store, vec![put_session(&session, Expect::New)]).await;
    conflicts(store, vec![put_session(&session, Expect::New)]).await;
    conflicts(store, vec![put_job(job("s", "j"), first())]).await;
}

pub(super) async fn a_write_at_an_old_version_changes_nothing(store: &Made) {
    let session = queued("s").session;
    put(store, vec![put_session(&session, Expect::New)]).await;
    let next = provision(session.clone(), stamp(1)).session;
    put(store, vec![put_session(&next, first())]).await;
    conflicts(store, vec![put_session(&session, first())]).await;

    let read = store.session(session_id("s")).await.unwrap().expect("it was written");
    assert_eq!((read.value, read.version), (next, Version(2)));
}

pub(super) async fn a_transaction_is_written_as_a_whole_or_not_at_all(store: &Made) {
    let session = queued("s").session;
    put(store, vec![put_job(job("s", "a"), Expect::New)]).await;
    let writes = vec![
        put_session(&session, Expect::New),
        put_job(job("s", "b"), Expect::New),
        put_job(job("s", "a"), Expect::New),
    ];
    conflicts(store, writes).await;
    assert_eq!(store.session(session_id("s")).await.unwrap(), None);
    assert_eq!(store.job(job_id("b")).await.unwrap(), None);
}

pub(super) async fn of_many_writers_at_one_version_one_wins(store: &Made) {
    let session = queued("s").session;
    put(store, vec![put_session(&session, Expect::New)]).await;
    let writers = (1..=8).map(|n| {
        let next = session.clone().recheck_at(at(n));
        async move { store.commit(vec![put_session(&next, first())]).await.is_ok() }
    });
    let won = join_all(writers).await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
    let read = store.session(session_id("s")).await.unwrap().expect("it was written");
    assert_eq!(read.version, Version(2));
}

pub(super) async fn every_state_of_a_session_comes_back_as_it_was(store: &Made) {
    for (number, session) in (1..).zip(states()) {
        let expect = if number == 1 { Expect::New } else { Expect::At(Version(number - 1)) };
        put(store, vec![put_session(&session, expect)]).await;
        let read = store.session(session.id()).await.unwrap().expect("it was written");
        assert_eq!((read.value, read.version), (session, Version(number)));
    }
}

pub(super) async fn every_state_of_a_job_comes_back_as_it_was(store: &Made) {
    let queued = job("s", "j");
    let running = queued.clone().claim("worker", at(1));
    let outcome = Outcome::Completed { exit: Some(Exit::Signal(9)), failure: None };
    let ended = running.clone().end(outcome, None, at(2));
    let states: [(Job, Expect); 3] = [
        (queued.into(), Expect::New),
        (running.into(), first()),
        (ended.into(), Expect::At(Version(2))),
    ];
    for (job, expect) in states {
        put(store, vec![put_job(job.clone(), expect)]).await;
        let read = store.job(job.id()).await.unwrap().expect("it was written").value;
        assert_eq!(read.outline(), job.outline());
    }
}

pub(super) async fn a_timeline_entry_is_written_once_and_read_in_order(store: &Made) {
    let entries: Vec<Entry> = (1..=4).map(entry).collect();
    for entry in entries.iter().rev() {
        put(store, vec![Write::Entry(Box::new(entry.clone()))]).await;
    }
    conflicts(store, vec![Write::Entry(Box::new(entry(2)))]).await;
    assert_eq!(store.timeline(session_id("s"), 0, 10).await.unwrap(), entries);
    assert_eq!(store.timeline(session_id("s"), 1, 2).await.unwrap(), entries[1..3]);
    assert_eq!(store.timeline(session_id("s"), 4, 2).await.unwrap(), Vec::new());
    assert_eq!(store.timeline(session_id("other"), 0, 10).await.unwrap(), Vec::new());
}

pub(super) async fn timeline_entries_that_are_written_together_are_listed_one_by_one(store: &Made) {
    let entries: Vec<Entry> = (1..=6).map(entry).collect();
    for together in [&entries[..1], &entries[1..4], &entries[4..]] {
        let writes = together.iter().map(|entry| Write::Entry(Box::new(entry.clone())));
        put(store, writes.collect()).await;
    }
    for after in 0..=6 {
        for limit in 1..=7 {
            let listed = store.timeline(session_id("s"), after, limit).await.unwrap();
            let rest = entries.iter().skip(after as usize).take(limit as usize);
            assert!(listed.iter().eq(rest), "{limit} after {after}: {listed:?}");
        }
    }
}

pub(super) fn delivery(name: &str) -> Delivery {
    let id = DeliveryId::from_ulid(session_id(name).ulid());
    let (user, session) = (user_id(), session_id("s"));
    let (event, body) = (EventType::SessionReady, Secret::new("{}".to_owned()));
    Pending::new(Payload { id, user, session, event, body, created_at: at(0) }).into()
}

pub(super) fn warm_id(number: u128) -> WarmId {
    WarmId::from_ulid(ulid::Ulid::from_parts(at(0).millis().unsigned_abs(), number))
}

fn entry(seq: u32) -> Entry {
    Entry {
        id: domain::EventId::of(session_id("s"), seq, at(0)),
        session: session_id("s"),
        seq,
        at: at(seq.into()),
        kind: EventKind::Accepted,
        from: (seq > 1).then_some(Status::Queued),
        to: Status::Queued,
        actor: stamp(0).actor,
        attempt: 0,
        latency_ms: 1000,
        cause: None,
    }
}

/// The transition that this event makes.
fn on(event: Event) -> Box<dyn FnOnce(Session, Stamp) -> Transition> {
    Box::new(|session, stamp| session.on(event, stamp).expect("the event fits the state"))
}

/// One session in every state, in lifecycle order.
pub(super) fn states() -> Vec<Session> {
    let stop = Event::Stop { reason: Reason::UserStop, note: Some("enough".into()) };
    let message = "ended".to_owned();
    let cause = StopCause { code: StopCode::Exited, message, exit_code: Some(0) };
    let life: [Box<dyn FnOnce(Session, Stamp) -> Transition>; 8] = [
        Box::new(admit),
        Box::new(provision),
        on(Event::Placed(task_id("s"))),
        on(Event::Ready),
        on(stop),
        on(Event::StopSent),
        on(Event::TaskStopped(Some(cause))),
        Box::new(finish),
    ];
    let waiter = Waiter { token: Secret::new("token".into()), waits: Waits::End, until: at(90) };
    let mut states = vec![waiting("s", 0)];
    for (transition, seconds) in life.into_iter().zip(1..) {
        let last = states.last().expect("there is one").clone();
        let next = transition(last, stamp(seconds)).session;
        states.push(next.add_stop_job(job_id("stop")).register_waiter(waiter.clone(), at(100)));
    }
    states
}

pub(super) async fn a_large_command_is_read_whole_until_its_job_is_over(store: &Made) {
    let variables = (0..200).map(|n| (format!("NAME_{n}"), "value".to_owned())).collect();
    let large = Command {
        env: Secret::new(variables),
        stdin: Secret::new((0..=255).cycle().take(70_000).collect()),
        ..command("cat")
    };
    for (name, command) in [("large", large), ("small", command("true"))] {
        let queued = job_of("s", name, Work::Execute(Box::new(command.clone())));
        put(store, vec![put_job(queued, Expect::New)]).await;
        let read = store.job(job_id(name)).await.unwrap().expect("it was written");
        let Job::Queued(queued) = read.value else { panic!("{name} is queued") };
        // The record may have an outline of the command, and is written back as it was read.
        let running = queued.claim("worker", at(1));
        put(store, vec![put_job(running.clone(), first())]).await;
        assert_eq!(store.command(job_id(name)).await.unwrap(), Some(command), "{name}");
        let outcome = Outcome::Completed { exit: Some(Exit::Code(0)), failure: None };
        put(store, vec![put_job(running.end(outcome, None, at(2)), Expect::At(Version(2)))]).await;
        let found = store.job(job_id(name)).await.unwrap().expect("it was written");
        assert!(matches!(found.value, Job::Finished(_)));
    }
    assert_eq!(store.command(job_id("none")).await.unwrap(), None);
}

pub(super) async fn the_variables_of_a_session_are_read_with_it(store: &Made) {
    for (name, count) in [("few", 2), ("many", 500)] {
        let env: BTreeMap<_, _> = (0..count).map(|n| (format!("N{n}"), "x".repeat(40))).collect();
        let session = queued(name).session.with_env(Secret::new(env.clone()));
        put(store, vec![put_session(&session, Expect::New)]).await;
        let next = provision(session, stamp(1)).session;
        put(store, vec![put_session(&next, first())]).await;
        let read = store.session(next.id()).await.unwrap().expect("it was written");
        assert_eq!(read.value.common().spec.env.expose(), &env, "{name}");
    }
}
