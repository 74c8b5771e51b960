//! What transitions put on record.

use super::*;

#[test]
fn the_time_to_live_counts_from_ready() {
    let starting = after(queued(spec()), &[Event::Provision, Event::Placed(task())]);
    assert_eq!(starting.common().expires_at, at(3600));
    let ready = starting.on(Event::Ready, stamp(100)).unwrap().session;
    assert_eq!(ready.common().expires_at, at(3700));
    assert_eq!(ready.ready_at(), Some(at(100)));
}

#[test]
fn the_time_to_live_of_one_that_waited_counts_from_its_admission() {
    let admitted = waiting().on(Event::Admit, stamp(5000)).unwrap().session;
    assert_eq!(admitted.common().expires_at, at(8600));
    assert_eq!(admitted.overdue(at(5599)), None);
}

#[test]
fn a_refusal_makes_a_new_token_and_nothing_else_does() {
    let token = |session: &Session| {
        let Session::Provisioning(session) = session else { unreachable!() };
        session.client_token()
    };
    let first = after(queued(spec()), &[Event::Provision]);
    assert_eq!(token(&first), format!("{}-a1", id()));
    let second = after(first, &[Event::Refused("no room".into())]);
    assert_eq!(token(&second), format!("{}-a2", id()));
}

#[test]
fn a_task_that_ends_by_itself_says_why_the_session_does() {
    let reasons = [
        (StopCode::Exited, Reason::TaskExited),
        (StopCode::OutOfMemory, Reason::OomKilled),
        (StopCode::Interrupted, Reason::SpotInterruption),
        (StopCode::FailedToStart, Reason::Internal),
        (StopCode::Requested, Reason::TaskExited),
        (StopCode::Other, Reason::TaskExited),
    ];
    for (code, reason) in reasons {
        let stopped = after(ready(spec()), &[Event::TaskStopped(Some(cause(code)))]);
        assert_eq!(stopped.reason(), Some(reason));
        assert_eq!(stopped.next_step(at(1)), Step::Finish);
    }
    let gone = after(ready(spec()), &[Event::TaskStopped(None)]);
    assert_eq!(gone.reason(), Some(Reason::TaskExited));
}

#[test]
fn the_first_reason_stays() {
    let stopped = after(ready(spec()), &[stop(Reason::TtlExpired)]);
    let gone = after(stopped, &[Event::TaskStopped(Some(cause(StopCode::OutOfMemory)))]);
    let ended = after(gone, &[Event::Finish]);
    assert_eq!(ended.reason(), Some(Reason::TtlExpired));
    assert_eq!(ended.status(), Status::Stopped);
}

#[test]
fn the_platforms_reasons_are_failures() {
    for reason in Reason::ALL {
        let wished = matches!(
            reason,
            Reason::UserStop | Reason::TtlExpired | Reason::IdleTimeout | Reason::CommandFinished
        );
        let ended = after(queued(spec()), &[stop(reason), Event::Finish]);
        let status = if wished { Status::Stopped } else { Status::Failed };
        assert_eq!(ended.status(), status, "{}", reason.name());
    }
}

#[test]
fn a_slot_is_held_from_admission_to_the_end() {
    let held: Vec<(&str, bool)> =
        states().into_iter().map(|(name, session)| (name, session.holds_slot())).collect();
    let wanted = [
        ("waiting", false),
        ("queued", true),
        ("provisioning", true),
        ("starting", true),
        ("ready", true),
        ("stopping", true),
        ("ended", false),
    ];
    assert_eq!(held, wanted);
    let never_admitted = after(waiting(), &[stop(Reason::UserStop)]);
    assert!(!never_admitted.holds_slot());
}

#[test]
fn the_owner_of_a_session_is_told_of_an_end_that_comes_by_itself() {
    let moved = ready(spec()).on(Event::TaskStopped(None), stamp(7)).unwrap();
    let what: Vec<EventKind> = moved.entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(what, [EventKind::StopRequested, EventKind::TaskStopped]);
    assert_eq!(moved.entries[0].latency_ms, 7000);
    assert_eq!(moved.entries[1].latency_ms, 0);
}

#[test]
fn a_bell_stays_until_another_takes_its_place() {
    let waiter = |token: &str| Waiter {
        token: Secret::new(token.into()),
        waits: Waits::End,
        until: at(100),
    };
    let session = ready(spec()).register_waiter(waiter("one"), at(50));
    assert_eq!((session.waiter(), session.due_at()), (Some(&waiter("one")), Some(at(50))));
    let stopping = after(session, &[stop(Reason::UserStop)]);
    assert_eq!(stopping.waiter(), Some(&waiter("one")));
    let again = stopping.register_waiter(waiter("two"), at(60));
    assert_eq!(again.waiter(), Some(&waiter("two")));
}

#[test]
fn what_has_ended_takes_neither_bell_nor_job() {
    let ended = after(queued(spec()), &[stop(Reason::UserStop), Event::Finish]);
    let waiter = Waiter { token: Secret::default(), waits: Waits::End, until: at(1) };
    let same =
        ended.clone().register_waiter(waiter, at(1)).recheck_at(at(2)).stopped_for(start_job());
    assert_eq!(same, ended);
}

#[test]
fn a_session_of_one_command_takes_no_other() {
    assert!(!queued(spec()).one_shot(at(0)).is_open());
}

#[test]
fn a_session_uses_its_task_from_its_placement_to_its_end() {
    let used = |session: &Session, now| session.usage(at(now)).task.as_secs();
    let next =
        |session: Session, event, seconds| session.on(event, stamp(seconds)).unwrap().session;
    let provisioning = next(queued(spec()), Event::Provision, 5);
    assert_eq!(used(&provisioning, 9), 0);
    let ready = next(next(provisioning, Event::Placed(task()), 10), Event::Ready, 40);
    assert_eq!(used(&ready, 70), 60);
    let stopping = next(ready, stop(Reason::UserStop), 100);
    assert_eq!(used(&stopping, 105), 95);
    let gone = next(stopping.clone(), Event::TaskStopped(None), 110);
    assert_eq!(used(&gone, 500), 100);
    assert_eq!(used(&next(gone, Event::Finish, 120), 500), 100);
    assert_eq!(used(&next(stopping, Event::Finish, 130), 500), 120);
}

#[test]
fn a_warm_task_is_used_from_its_claim_and_no_task_is_no_use() {
    let claimed = queued(spec()).on(Event::Claim(task()), stamp(10)).unwrap().session;
    assert_eq!(claimed.usage(at(15)).task, Duration::from_secs(5));
    let never = after(queued(spec()), &[stop(Reason::UserStop), Event::Finish]);
    assert_eq!(never.usage(at(99)), crate::cost::Usage::default());
}

#[test]
fn what_commands_used_and_what_was_refused_is_on_record() {
    let refused = Event::Refused("no room".into());
    let session = after(queued(spec()), &[Event::Provision, refused.clone(), refused]);
    assert_eq!(session.usage(at(1)).refusals, 2);
    let ended = after(session, &[stop(Reason::UserStop), Event::Finish]);
    assert_eq!(ended.usage(at(1)).commands, None);
    let Session::Ended(ended) = ended else { unreachable!() };
    let tally = crate::cost::Tally { jobs: 2, wall_ms: 30, cpu_ms: 4 };
    assert_eq!(Session::from(ended.with_commands(tally)).usage(at(1)).commands, Some(tally));
}
