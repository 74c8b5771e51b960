//! The next step of every state.

use super::*;

#[test]
fn the_next_step_of_every_state() {
    let cases: Vec<(&str, Step)> =
        states().into_iter().map(|(name, session)| (name, session.next_step(at(1)))).collect();
    let wanted = [
        ("waiting", Step::AwaitSlot),
        ("queued", Step::Provision),
        ("provisioning", Step::Provision),
        ("starting", Step::WaitRunning),
        ("ready", Step::WaitEnd { until: at(3600) }),
        ("stopping", Step::StopTask),
        ("ended", Step::Done),
    ];
    assert_eq!(cases, wanted);
}

#[test]
fn the_next_step_of_every_stopping_session() {
    let cases: Vec<(&str, Step)> =
        placements().into_iter().map(|(name, session)| (name, session.next_step(at(1)))).collect();
    let wanted = [
        ("none", Step::Finish),
        ("asked", Step::StopTask),
        ("placed", Step::StopTask),
        ("stop sent", Step::WaitStopped),
        ("gone", Step::Finish),
    ];
    assert_eq!(cases, wanted);
}

#[test]
fn a_session_that_is_not_ready_in_ten_minutes_must_end() {
    for (name, step) in
        [("queued", Step::Finish), ("provisioning", Step::StopTask), ("starting", Step::StopTask)]
    {
        let (_, session) = states().into_iter().find(|(of, _)| *of == name).unwrap();
        assert_eq!(session.overdue(at(599)), None, "{name}");
        assert_eq!(session.overdue(at(600)), Some(Reason::ProvisionTimeout), "{name}");
        assert_eq!(session.next_step(at(600)), step, "{name}");
    }
}

#[test]
fn a_session_above_the_quota_may_wait_for_ever() {
    assert_eq!(waiting().overdue(at(1_000_000)), None);
    assert_eq!(waiting().next_step(at(1_000_000)), Step::AwaitSlot);
}

#[test]
fn a_ready_session_ends_at_its_time_to_live() {
    let session = ready(spec());
    assert_eq!(session.overdue(at(3599)), None);
    assert_eq!(session.overdue(at(3600)), Some(Reason::TtlExpired));
    assert_eq!(session.next_step(at(3600)), Step::StopTask);
}

#[test]
fn an_idle_session_ends_before_its_time_to_live() {
    let session = ready(Spec { idle_timeout: Some(Duration::from_mins(5)), ..spec() });
    assert_eq!(session.next_step(at(1)), Step::WaitEnd { until: at(300) });
    assert_eq!(session.overdue(at(300)), Some(Reason::IdleTimeout));

    let Session::Ready(idle) = session else { unreachable!() };
    let active = Session::from(idle.active(at(200), at(210)));
    assert_eq!(active.overdue(at(300)), None);
    assert_eq!(active.next_step(at(300)), Step::WaitEnd { until: at(500) });
}

#[test]
fn activity_that_is_reported_late_does_not_move_the_idle_timeout_back() {
    let Session::Ready(idle) = ready(Spec { idle_timeout: Some(Duration::from_mins(5)), ..spec() })
    else {
        unreachable!()
    };
    let active = idle.active(at(200), at(200)).active(at(100), at(201));
    assert_eq!(active.idle_at(), Some(at(500)));
}

#[test]
fn the_owner_is_warned_once_of_each_deadline() {
    let session = ready(Spec { webhook: Some(hook()), ..spec() });
    assert_eq!(session.next_step(at(1)), Step::WaitEnd { until: at(3540) });
    let warned = after(session, &[On(Event::Warn)]);
    assert_eq!(warned.next_step(at(1)), Step::WaitEnd { until: at(3600) });
    let extended = after(warned, &[Change::Extend(at(7200))]);
    assert_eq!(extended.next_step(at(1)), Step::WaitEnd { until: at(7140) });
}

#[test]
fn a_short_session_or_one_without_the_webhook_event_is_not_warned_about() {
    let short = Spec { ttl: Duration::from_secs(119), webhook: Some(hook()), ..spec() };
    let events = vec![EventType::JobLost];
    let others = Spec { webhook: Some(Endpoint { events, ..hook() }), ..spec() };
    for (spec, until) in [(short, 119), (others, 3600), (spec(), 3600)] {
        assert_eq!(ready(spec).next_step(at(1)), Step::WaitEnd { until: at(until) });
    }
}
