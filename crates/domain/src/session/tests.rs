use std::time::Duration;

use ulid::Ulid;

use self::Change::On;
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
        files: Secret::default(),
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

/// Any transition: by an event, or by a method that only one state has.
#[derive(Debug, Clone)]
enum Change {
    Admit,
    Provision,
    Claim(TaskId),
    Extend(Timestamp),
    Finish,
    On(Event),
}

impl Change {
    /// Makes the transition; returns the session if its state does not have this one.
    fn apply(self, session: Session, stamp: Stamp) -> Result<Transition, TransitionError> {
        Ok(match (session, self) {
            (Session::Waiting(s), Self::Admit) => s.admit(stamp).any(),
            (Session::Queued(s), Self::Provision) => s.provision(stamp).any(),
            (Session::Queued(s), Self::Claim(task)) => s.claim(task, stamp).any(),
            (Session::Ready(s), Self::Extend(to)) => s.extend(to, stamp).any(),
            (Session::Stopping(s), Self::Finish) => s.finish(stamp).any(),
            (session, Self::On(event)) => return session.on(event, stamp),
            (session, _) => return Err(TransitionError { session: Box::new(session) }),
        })
    }
}

/// The session after this change at this second.
fn next(session: Session, change: Change, seconds: i64) -> Session {
    change.apply(session, stamp(seconds)).expect("the state has this transition").session
}

/// The session after these changes, all at second 0.
fn after(session: Session, changes: &[Change]) -> Session {
    changes.iter().fold(session, |session, change| next(session, change.clone(), 0))
}

fn stop(reason: Reason) -> Change {
    On(Event::Stop { reason, note: None })
}

fn cause(code: StopCode) -> StopCause {
    StopCause { code, message: "message".into(), exit_code: None }
}

fn ready(spec: Spec) -> Session {
    after(
        queued(spec),
        &[Change::Provision, On(Event::Placed(task())), On(Event::Running), On(Event::Ready)],
    )
}

/// Every state, by its name.
fn states() -> Vec<(&'static str, Session)> {
    let provisioning = after(queued(spec()), &[Change::Provision]);
    let starting = after(provisioning.clone(), &[On(Event::Placed(task()))]);
    let stopping = after(ready(spec()), &[stop(Reason::UserStop)]);
    let ended = after(stopping.clone(), &[On(Event::TaskStopped(None)), Change::Finish]);
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
        ("asked", stopped(after(queued(spec()), &[Change::Provision]))),
        ("placed", placed.clone()),
        ("stop sent", after(placed.clone(), &[On(Event::StopSent)])),
        ("gone", after(placed, &[On(Event::TaskStopped(None))])),
    ]
}

/// Every transition, by its name in `docs/states.md`.
fn changes() -> Vec<(&'static str, Change)> {
    let reason = Reason::UserStop;
    vec![
        ("Admit", Change::Admit),
        ("Provision", Change::Provision),
        ("Claim", Change::Claim(task())),
        ("Placed", On(Event::Placed(task()))),
        ("Refused", On(Event::Refused("no capacity".into()))),
        ("Running", On(Event::Running)),
        ("Ready", On(Event::Ready)),
        ("Extend", Change::Extend(at(9000))),
        ("Warn", On(Event::Warn)),
        ("Terminal", On(Event::Terminal(TerminalEvent::Opened, start_job()))),
        ("Drain", On(Event::Drain { reason, note: None })),
        ("Stop", stop(reason)),
        ("StopSent", On(Event::StopSent)),
        ("TaskStopped", On(Event::TaskStopped(None))),
        ("Finish", Change::Finish),
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
