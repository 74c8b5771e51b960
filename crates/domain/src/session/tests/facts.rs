//! What transitions write to the record.

use super::*;
use crate::file::NewFile;

#[test]
fn the_time_to_live_counts_from_ready() {
    let starting = after(queued(spec()), &[Change::Provision, On(Event::Placed(task()))]);
    assert_eq!(starting.common().expires_at, at(3600));
    let ready = next(starting, On(Event::Ready), 100);
    assert_eq!(ready.common().expires_at, at(3700));
    assert_eq!(ready.ready_at(), Some(at(100)));
}

#[test]
fn the_time_to_live_of_a_session_that_waited_counts_from_its_admission() {
    let admitted = next(waiting(), Change::Admit, 5000);
    assert_eq!(admitted.common().expires_at, at(8600));
    assert_eq!(admitted.overdue(at(5599)), None);
}

#[test]
fn files_are_kept_until_the_session_is_ready_or_ends() {
    let file = NewFile { path: "a".into(), mode: None, base64: "eA==".into() };
    let spec = Spec { files: Secret::new(vec![file]), ..spec() };
    let starting = after(queued(spec), &[Change::Provision, On(Event::Placed(task()))]);
    let starting = starting.claim_files(at(45));
    assert_eq!((starting.files().len(), starting.has_claimed_files(at(44))), (1, true));
    assert!(!starting.has_claimed_files(at(45)));
    for end in [On(Event::Ready), stop(Reason::FilesRefused), On(Event::TaskStopped(None))] {
        let session = next(starting.clone(), end, 50);
        assert!(session.files().is_empty() && !session.has_claimed_files(at(0)));
    }
}

#[test]
fn a_refused_placement_makes_a_new_client_token() {
    let token = |session: &Session| {
        let Session::Provisioning(session) = session else { unreachable!() };
        session.client_token()
    };
    let first = after(queued(spec()), &[Change::Provision]);
    assert_eq!(token(&first), format!("{}-a1", id()));
    let second = after(first, &[On(Event::Refused("no capacity".into()))]);
    assert_eq!(token(&second), format!("{}-a2", id()));
}

#[test]
fn a_session_ends_for_the_reason_that_its_task_stopped() {
    let reasons = [
        (StopCode::Exited, Reason::TaskExited),
        (StopCode::OutOfMemory, Reason::OomKilled),
        (StopCode::Interrupted, Reason::SpotInterruption),
        (StopCode::FailedToStart, Reason::Internal),
        (StopCode::Requested, Reason::TaskExited),
        (StopCode::Other, Reason::TaskExited),
    ];
    for (code, reason) in reasons {
        let stopped = after(ready(spec()), &[On(Event::TaskStopped(Some(cause(code))))]);
        assert_eq!(stopped.reason(), Some(reason));
        assert_eq!(stopped.next_step(at(1)), Step::Finish);
    }
    let gone = after(ready(spec()), &[On(Event::TaskStopped(None))]);
    assert_eq!(gone.reason(), Some(Reason::TaskExited));
}

#[test]
fn a_later_reason_does_not_replace_the_first() {
    let stopped = after(ready(spec()), &[stop(Reason::TtlExpired)]);
    let gone = after(stopped, &[On(Event::TaskStopped(Some(cause(StopCode::OutOfMemory))))]);
    let ended = after(gone, &[Change::Finish]);
    assert_eq!(ended.reason(), Some(Reason::TtlExpired));
    assert_eq!(ended.status(), Status::Stopped);
}

#[test]
fn only_the_reasons_of_the_owner_and_the_clock_are_no_failures() {
    for reason in Reason::ALL {
        let expected_end = matches!(
            reason,
            Reason::UserStop | Reason::TtlExpired | Reason::IdleTimeout | Reason::CommandFinished
        );
        let ended = after(queued(spec()), &[stop(reason), Change::Finish]);
        let status = if expected_end { Status::Stopped } else { Status::Failed };
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
fn a_task_that_stops_by_itself_makes_two_timeline_entries() {
    let transition = ready(spec()).on(Event::TaskStopped(None), stamp(7)).unwrap();
    let kinds: Vec<EventKind> = transition.entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EventKind::StopRequested, EventKind::TaskStopped]);
    assert_eq!(transition.entries[0].latency_ms, 7000);
    assert_eq!(transition.entries[1].latency_ms, 0);
}

#[test]
fn a_waiter_stays_until_another_is_registered() {
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
fn an_ended_session_takes_neither_waiter_nor_job() {
    let ended = after(queued(spec()), &[stop(Reason::UserStop), Change::Finish]);
    let waiter = Waiter { token: Secret::default(), waits: Waits::End, until: at(1) };
    let same =
        ended.clone().register_waiter(waiter, at(1)).recheck_at(at(2)).add_stop_job(start_job());
    assert_eq!(same, ended);
}

#[test]
fn a_one_shot_session_takes_no_other_command() {
    assert!(!queued(spec()).one_shot(at(0)).is_open());
}

#[test]
fn a_session_uses_its_task_from_its_placement_to_its_end() {
    let used = |session: &Session, now| session.usage(at(now)).task.as_secs();
    let provisioning = next(queued(spec()), Change::Provision, 5);
    assert_eq!(used(&provisioning, 9), 0);
    let ready = next(next(provisioning, On(Event::Placed(task())), 10), On(Event::Ready), 40);
    assert_eq!(used(&ready, 70), 60);
    let stopping = next(ready, stop(Reason::UserStop), 100);
    assert_eq!(used(&stopping, 105), 95);
    let gone = next(stopping.clone(), On(Event::TaskStopped(None)), 110);
    assert_eq!(used(&gone, 500), 100);
    assert_eq!(used(&next(gone, Change::Finish, 120), 500), 100);
    assert_eq!(used(&next(stopping, Change::Finish, 130), 500), 120);
}

#[test]
fn a_warm_task_counts_from_its_claim_and_no_task_counts_nothing() {
    let claimed = next(queued(spec()), Change::Claim(task()), 10);
    assert_eq!(claimed.usage(at(15)).task, Duration::from_secs(5));
    let never = after(queued(spec()), &[stop(Reason::UserStop), Change::Finish]);
    assert_eq!(never.usage(at(99)), crate::cost::Usage::default());
}

#[test]
fn the_usage_of_commands_and_the_refused_attempts_are_recorded() {
    let refused = On(Event::Refused("no capacity".into()));
    let session = after(queued(spec()), &[Change::Provision, refused.clone(), refused]);
    assert_eq!(session.usage(at(1)).refusals, 2);
    let ended = after(session, &[stop(Reason::UserStop), Change::Finish]);
    assert_eq!(ended.usage(at(1)).commands, None);
    let Session::Ended(ended) = ended else { unreachable!() };
    let tally = crate::cost::Tally { jobs: 2, wall_ms: 30, cpu_ms: 4 };
    assert_eq!(Session::from(ended.with_commands(tally)).usage(at(1)).commands, Some(tally));
}
