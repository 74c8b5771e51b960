//! The result of every transition in every state.

use super::*;

/// A dot: the state does not have the transition, most often because the event came twice or late.
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
Terminal    | .            | .            | .            | .            | ready        | .            | .
Drain       | waiting      | queued       | provisioning | starting     | ready        | .            | .
Stop        | stopping     | stopping     | stopping     | stopping     | stopping     | .            | .
StopSent    | .            | .            | .            | .            | .            | stopping     | .
TaskStopped | .            | .            | .            | stopping     | stopping     | stopping     | .
Finish      | .            | .            | .            | .            | .            | ended        | .
";

/// The same for a stopping session, by its placement. `stop sent`: placed, and the stop request was sent.
const PLACEMENTS: &str = "
            | none         | asked        | placed       | stop sent    | gone
Admit       | .            | .            | .            | .            | .
Provision   | .            | .            | .            | .            | .
Claim       | .            | .            | .            | .            | .
Placed      | .            | placed       | .            | .            | .
Refused     | .            | .            | .            | .            | .
Running     | .            | .            | .            | .            | .
Ready       | .            | .            | .            | .            | .
Extend      | .            | .            | .            | .            | .
Warn        | .            | .            | .            | .            | .
Terminal    | .            | .            | .            | .            | .
Drain       | .            | .            | .            | .            | .
Stop        | .            | .            | .            | .            | .
StopSent    | .            | .            | stop sent    | stop sent    | .
TaskStopped | .            | .            | gone         | gone         | .
Finish      | ended        | ended        | ended        | ended        | ended
";

#[test]
fn every_state_has_the_expected_transitions() {
    assert_eq!(table(&states(), name), STATES.trim_start_matches('\n'));
}

#[test]
fn every_placement_has_the_expected_transitions() {
    assert_eq!(table(&placements(), placement), PLACEMENTS.trim_start_matches('\n'));
}

#[test]
fn a_task_is_recorded_as_running_once() {
    let starting = after(queued(spec()), &[Change::Provision, On(Event::Placed(task()))]);
    let running = starting.on(Event::Running, stamp(1)).unwrap().session;
    let rejected = running.clone().on(Event::Running, stamp(2)).unwrap_err();
    assert_eq!(*rejected.session, running);
}

#[test]
fn a_session_drains_once() {
    let reason = Reason::UserStop;
    let draining = after(ready(spec()), &[On(Event::Drain { reason, note: None })]);
    assert!(draining.clone().on(Event::Drain { reason, note: None }, stamp(1)).is_err());
}

/// The table of results; `docs/states.md` holds the same table as Markdown.
pub(super) fn table(states: &[(&str, Session)], name: fn(&Session) -> &'static str) -> String {
    let line = |first: &str, cells: Vec<&str>| {
        let cells: Vec<String> = cells.iter().map(|cell| format!(" | {cell:12}")).collect();
        format!("{}\n", format!("{first:11}{}", cells.concat()).trim_end())
    };
    let mut text = line("", states.iter().map(|(name, _)| *name).collect());
    for (change_name, change) in changes() {
        let to = |(_, session): &(&str, Session)| {
            change.clone().apply(session.clone(), stamp(0)).map_or(".", |t| name(&t.session))
        };
        text += &line(change_name, states.iter().map(to).collect());
    }
    text
}

fn placement(session: &Session) -> &'static str {
    let Session::Stopping(stopping) = session else { return name(session) };
    match stopping.placement() {
        Placement::None => "none",
        Placement::Asked => "asked",
        Placement::Placed(_) if stopping.stop_sent_at.is_some() => "stop sent",
        Placement::Placed(_) => "placed",
        Placement::Gone(..) => "gone",
    }
}
