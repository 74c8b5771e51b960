//! Invariants that hold after any sequence of changes.

use proptest::prelude::*;

use super::*;

/// The numbers of changes, each with the seconds since the change before it; clocks may go back.
fn sequences() -> impl Strategy<Value = Vec<(usize, i64)>> {
    prop::collection::vec((0..changes().len(), -30_i64..300), 0..60)
}

/// The change with this number; deadlines and reasons vary with the time.
fn change(number: usize, seconds: i64) -> Change {
    let reason = Reason::ALL[usize::try_from(seconds.unsigned_abs()).unwrap() % Reason::ALL.len()];
    let mut change = changes()[number].1.clone();
    if let Change::Extend(to) = &mut change {
        *to = at(seconds + 600);
    }
    if let On(Event::Stop { reason: why, .. } | Event::Drain { reason: why, .. }) = &mut change {
        *why = reason;
    }
    change
}

proptest! {
    #[test]
    fn the_invariants_hold_after_any_sequence_of_changes(waits in any::<bool>(), sequence in sequences()) {
        let stamp = stamp(0);
        let user = UserId::new("u");
        let mut accepted = if waits {
            Waiting::accept(id(), user, start_job(), spec(), stamp).any()
        } else {
            Queued::accept(id(), user, start_job(), spec(), stamp).any()
        };
        let mut timeline = std::mem::take(&mut accepted.entries);
        let mut session = accepted.session;
        let mut now = 0;
        for (number, later) in sequence {
            now = (now + later).max(0);
            let change = change(number, now);
            match change.clone().apply(session.clone(), super::stamp(now)) {
                Err(rejected) => prop_assert_eq!(&*rejected.session, &session),
                Ok(transition) => {
                    check_transition(&session, &change, &transition)?;
                    timeline.extend(transition.entries);
                    session = transition.session;
                }
            }
            check_session(&session)?;
        }
        check_timeline(&timeline, &session)?;
    }
}

/// Invariants of one transition.
fn check_transition(
    from: &Session,
    change: &Change,
    transition: &Transition,
) -> Result<(), TestCaseError> {
    prop_assert!(!matches!(from, Session::Ended(_)), "{change:?} left a final state");
    prop_assert!(!transition.entries.is_empty(), "{change:?} made no timeline entry");
    let to = &transition.session;
    prop_assert_eq!(to.id(), from.id());
    if from.holds_slot() != to.holds_slot() {
        prop_assert!(
            matches!(change, Change::Admit | Change::Finish),
            "{change:?} changed the slot"
        );
    }
    if !from.is_open() {
        prop_assert!(!to.is_open(), "{change:?} opened a closed session");
    }
    if from.reason().is_some() {
        prop_assert_eq!(to.reason(), from.reason());
    }
    if from.ready_at().is_some() {
        prop_assert_eq!(to.ready_at(), from.ready_at());
    }
    if let Some(task) = from.task() {
        prop_assert_eq!(to.task(), Some(task));
    }
    Ok(())
}

/// Invariants of every session.
fn check_session(session: &Session) -> Result<(), TestCaseError> {
    let over = matches!(session, Session::Ended(_));
    prop_assert_eq!(session.due_at().is_none(), over);
    if matches!(session, Session::Stopping(_) | Session::Ended(_)) {
        prop_assert!(!session.is_open());
        prop_assert!(session.reason().is_some());
    }
    let text = serde_json::to_string(session).unwrap();
    let read: Session = serde_json::from_str(&text).unwrap();
    prop_assert_eq!(&read, session);
    Ok(())
}

/// The timeline has no gaps, and each entry starts in the status in which the entry before it ended.
fn check_timeline(
    timeline: &[crate::timeline::Entry],
    session: &Session,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(timeline.len(), usize::try_from(session.common().entries).unwrap());
    let mut before: Option<Status> = None;
    let mut ids = std::collections::HashSet::new();
    for (entry, number) in timeline.iter().zip(1..) {
        prop_assert_eq!(entry.seq, number);
        prop_assert_eq!(entry.from, before);
        prop_assert!(ids.insert(entry.id));
        before = Some(entry.to);
    }
    prop_assert_eq!(before, Some(session.status()));
    Ok(())
}

#[test]
fn every_state_survives_a_round_trip_through_json() {
    for (name, session) in states().into_iter().chain(placements()) {
        let text = serde_json::to_string(&session).unwrap();
        assert_eq!(serde_json::from_str::<Session>(&text).unwrap(), session, "{name}");
    }
}
