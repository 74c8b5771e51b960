use std::time::Duration;

use ulid::Ulid;

use super::*;
use crate::{
    Secret, TaskId,
    size::{Network, Size},
    task::{StopCause, StopCode},
    timeline::{Actor, EventKind, Stamp},
    webhook::{Endpoint, EventType},
};

mod diagram;
mod facts;
mod invariants;
mod steps;
mod table;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn stamp(seconds: i64) -> Stamp {
    Stamp::new(Actor::User, at(seconds))
}

fn id() -> SessionId {
    SessionId::from_ulid(Ulid::from_parts(0, 1))
}

fn start_job() -> JobId {
    JobId::from_ulid(Ulid::from_parts(0, 2))
}

fn task() -> TaskId {
    TaskId::new("task")
}

fn spec() -> Spec {
    Spec {
        image: "default".into(),
        size: Size::DEFAULT,
        ttl: Duration::from_hours(1),
        idle_timeout: None,
        env: Secret::default(),
        metadata: std::collections::BTreeMap::new(),
        network: Network::None,
        spot: false,
        admission: Admission::Reject,
        webhook: None,
    }
}

fn hook() -> Endpoint {
    Endpoint { url: Secret::default(), events: Vec::new(), secret: Secret::default(), gone: false }
}

fn waiting() -> Session {
    Waiting::accept(id(), UserId::new("u"), start_job(), spec(), stamp(0)).any().session
}

fn queued(spec: Spec) -> Session {
    Queued::accept(id(), UserId::new("u"), start_job(), spec, stamp(0)).any().session
}

/// The session after these events, all at second 0.
fn after(session: Session, events: &[Event]) -> Session {
    events.iter().fold(session, |session, event| {
        session.on(event.clone(), stamp(0)).expect("the event fits the state").session
    })
}

fn stop(reason: Reason) -> Event {
    Event::Stop { reason, note: None }
}

fn cause(code: StopCode) -> StopCause {
    StopCause { code, message: "words".into(), exit_code: None }
}

fn ready(spec: Spec) -> Session {
    after(queued(spec), &[Event::Provision, Event::Placed(task()), Event::Running, Event::Ready])
}

/// Every state, by its name.
fn states() -> Vec<(&'static str, Session)> {
    let provisioning = after(queued(spec()), &[Event::Provision]);
    let starting = after(provisioning.clone(), &[Event::Placed(task())]);
    let stopping = after(ready(spec()), &[stop(Reason::UserStop)]);
    let ended = after(stopping.clone(), &[Event::TaskStopped(None), Event::Finish]);
    vec![
        ("waiting", waiting()),
        ("queued", queued(spec())),
        ("provisioning", provisioning),
        ("starting", starting),
        ("ready", ready(spec())),
        ("stopping", stopping),
        ("ended", ended),
    ]
}

/// The stopping state, by what is known of the task.
fn placements() -> Vec<(&'static str, Session)> {
    let stopped = |session| after(session, &[stop(Reason::UserStop)]);
    let placed = stopped(ready(spec()));
    vec![
        ("none", stopped(queued(spec()))),
        ("asked", stopped(after(queued(spec()), &[Event::Provision]))),
        ("placed", placed.clone()),
        ("told", after(placed.clone(), &[Event::StopSent])),
        ("gone", after(placed, &[Event::TaskStopped(None)])),
    ]
}

/// Every event, by its name.
fn events() -> Vec<(&'static str, Event)> {
    let reason = Reason::UserStop;
    vec![
        ("Admit", Event::Admit),
        ("Provision", Event::Provision),
        ("Claim", Event::Claim(task())),
        ("Placed", Event::Placed(task())),
        ("Refused", Event::Refused("no room".into())),
        ("Running", Event::Running),
        ("Ready", Event::Ready),
        ("Extend", Event::Extend(at(9000))),
        ("Warn", Event::Warn),
        ("Drain", Event::Drain { reason, note: None }),
        ("Stop", stop(reason)),
        ("StopSent", Event::StopSent),
        ("TaskStopped", Event::TaskStopped(None)),
        ("Finish", Event::Finish),
    ]
}

fn name(session: &Session) -> &'static str {
    match session {
        Session::Waiting(_) => "waiting",
        Session::Queued(_) => "queued",
        Session::Provisioning(_) => "provisioning",
        Session::Starting(_) => "starting",
        Session::Ready(_) => "ready",
        Session::Stopping(_) => "stopping",
        Session::Ended(_) => "ended",
    }
}
