//! What holds whatever happens.

use proptest::prelude::*;

use super::*;

/// An event and how many seconds after the one before; clocks may go back.
fn happenings() -> impl Strategy<Value = Vec<(usize, i64)>> {
    prop::collection::vec((0..events().len(), -30_i64..300), 0..60)
}

/// The event of this number; deadlines and reasons vary with the time.
fn event(number: usize, seconds: i64) -> Event {
    let reason = Reason::ALL[usize::try_from(seconds.unsigned_abs()).unwrap() % Reason::ALL.len()];
    let mut event = events()[number].1.clone();
    if let Event::Extend(to) = &mut event {
        *to = at(seconds + 600);
    }
    if let Event::Stop { reason: why, .. } | Event::Drain { reason: why, .. } = &mut event {
        *why = reason;
    }
    event
}

proptest! {
    #[test]
    fn whatever_happens_the_laws_hold(waits in any::<bool>(), happenings in happenings()) {
        let stamp = stamp(0);
        let user = UserId::new("u");
        let mut moved = if waits {
            Waiting::accept(id(), user, start_job(), spec(), stamp).any()
        } else {
            Queued::accept(id(), user, start_job(), spec(), stamp).any()
        };
        let mut timeline = std::mem::take(&mut moved.entries);
        let mut session = moved.session;
        let mut now = 0;
        for (number, later) in happenings {
            now = (now + later).max(0);
            let event = event(number, now);
            match session.clone().on(event.clone(), super::stamp(now)) {
                Err(rejected) => prop_assert_eq!(&*rejected.session, &session),
                Ok(moved) => {
                    moves(&session, &event, &moved)?;
                    timeline.extend(moved.entries);
                    session = moved.session;
                }
            }
            stands(&session)?;
        }
        chains(&timeline, &session)?;
    }
}

/// What holds of one transition.
fn moves(from: &Session, event: &Event, moved: &Transition) -> Result<(), TestCaseError> {
    prop_assert!(!matches!(from, Session::Ended(_)), "a final state was left by {event:?}");
    prop_assert!(!moved.entries.is_empty(), "{event:?} left no trace");
    let to = &moved.session;
    prop_assert_eq!(to.id(), from.id());
    if from.holds_slot() != to.holds_slot() {
        prop_assert!(matches!(event, Event::Admit | Event::Finish), "{event:?} moved a slot");
    }
    if !from.is_open() {
        prop_assert!(!to.is_open(), "{event:?} opened what was closed");
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

/// What holds of every session.
fn stands(session: &Session) -> Result<(), TestCaseError> {
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

/// The timeline has no gaps, and each entry begins where the last one ended.
fn chains(timeline: &[crate::timeline::Entry], session: &Session) -> Result<(), TestCaseError> {
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
fn every_state_comes_back_from_its_text_as_it_was() {
    for (name, session) in states().into_iter().chain(placements()) {
        let text = serde_json::to_string(&session).unwrap();
        assert_eq!(serde_json::from_str::<Session>(&text).unwrap(), session, "{name}");
    }
}
