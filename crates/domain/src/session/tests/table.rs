//! Every state meets every event.

use super::*;

/// A dot: the event is handed back, most often because it came twice or late.
const STATES: &str = "
            | waiting      | queued       | provisioning | starting     | ready        | stopping     | ended
Admit       | queued       | .            | .            | .            | .            | .            | .
Provision   | .            | provisioning | .            | .            | .            | .            | .
Claim       | .            | starting     | .            | .            | .            | .            | .
Placed      | .            | .            | starting     | .            | .            | .            | .
Refused     | .            | .            | provisioning | .            | .            | .            | .
Running     | .            | .            | .            | starting     | .            | .            | .
Ready       | .            | .            | .            | ready        | .            | .            | .
Extend      | .            | .            | .            | .            | ready        | .            | .
Warn        | .            | .            | .            | .            | ready        | .            | .
Drain       | waiting      | queued       | provisioning | starting     | ready        | .            | .
Stop        | stopping     | stopping     | stopping     | stopping     | stopping     | .            | .
StopSent    | .            | .            | .            | .            | .            | stopping     | .
TaskStopped | .            | .            | .            | stopping     | stopping     | stopping     | .
Finish      | .            | .            | .            | .            | .            | ended        | .
";

/// The same for a stopping session, by what is known of its task.
const PLACEMENTS: &str = "
            | none         | asked        | placed       | told         | gone
Admit       | .            | .            | .            | .            | .
Provision   | .            | .            | .            | .            | .
Claim       | .            | .            | .            | .            | .
Placed      | .            | placed       | .            | .            | .
Refused     | .            | .            | .            | .            | .
Running     | .            | .            | .            | .            | .
Ready       | .            | .            | .            | .            | .
Extend      | .            | .            | .            | .            | .
Warn        | .            | .            | .            | .            | .
Drain       | .            | .            | .            | .            | .
Stop        | .            | .            | .            | .            | .
StopSent    | .            | .            | told         | told         | .
TaskStopped | .            | .            | gone         | gone         | .
Finish      | ended        | ended        | ended        | ended        | ended
";

#[test]
fn every_state_meets_every_event() {
    assert_eq!(table(&states(), name), STATES.trim_start_matches('\n'));
}

#[test]
fn every_stopping_session_meets_every_event() {
    assert_eq!(table(&placements(), placement), PLACEMENTS.trim_start_matches('\n'));
}

#[test]
fn a_task_is_noted_as_running_once() {
    let starting = after(queued(spec()), &[Event::Provision, Event::Placed(task())]);
    let running = starting.on(Event::Running, stamp(1)).unwrap().session;
    let rejected = running.clone().on(Event::Running, stamp(2)).unwrap_err();
    assert_eq!(*rejected.session, running);
}

#[test]
fn a_session_drains_once() {
    let reason = Reason::UserStop;
    let draining = after(ready(spec()), &[Event::Drain { reason, note: None }]);
    assert!(draining.clone().on(Event::Drain { reason, note: None }, stamp(1)).is_err());
}

/// The table as Markdown wants it, too.
pub(super) fn table(states: &[(&str, Session)], name: fn(&Session) -> &'static str) -> String {
    let line = |first: &str, cells: Vec<&str>| {
        let cells: Vec<String> = cells.iter().map(|cell| format!(" | {cell:12}")).collect();
        format!("{}\n", format!("{first:11}{}", cells.concat()).trim_end())
    };
    let mut text = line("", states.iter().map(|(name, _)| *name).collect());
    for (event_name, event) in events() {
        let to = |(_, session): &(&str, Session)| {
            session.clone().on(event.clone(), stamp(0)).map_or(".", |moved| name(&moved.session))
        };
        text += &line(event_name, states.iter().map(to).collect());
    }
    text
}

fn placement(session: &Session) -> &'static str {
    let Session::Stopping(stopping) = session else { return name(session) };
    match stopping.placement() {
        Placement::None => "none",
        Placement::Asked => "asked",
        Placement::Placed(_) if stopping.stop_sent_at.is_some() => "told",
        Placement::Placed(_) => "placed",
        Placement::Gone(..) => "gone",
    }
}
