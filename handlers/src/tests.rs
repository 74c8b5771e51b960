use std::{collections::HashSet, time::Duration};

use domain::{
    ports::Queue,
    size::Network,
    task::{TaskFacts, TaskStatus},
};
use testkit::{Fakes, session_id, task_id};

use super::*;

/// The world of `fakes` with the rules of a small deployment.
pub(crate) fn env(fakes: &Fakes) -> Env {
    testkit::env_of!(Env, fakes, policy())
}

pub(crate) fn policy() -> Policy {
    Policy {
        refused_networks: [(Network::Egress, "this deployment has none".into())].into(),
        ..Policy::default()
    }
}

fn facts(session: &str, status: TaskStatus) -> TaskFacts {
    TaskFacts {
        task: task_id(session),
        started_by: session_id(session).to_string(),
        version: 1,
        status,
        ending: false,
        stop: None,
        at: domain::Timestamp::from_millis(0),
    }
}

/// A world in which each handler has something to do, with the input that makes it do so.
fn worlds() -> Vec<(Handler, Fakes, Value)> {
    let session = json!({"sessionId": session_id("s")});
    let token = json!({"sessionId": session_id("s"), "token": "t", "waitSeconds": 3600});
    let running = json!(facts("s", TaskStatus::Running));
    let stopped = json!(facts("s", TaskStatus::Stopped));
    let job = || Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true");
    vec![
        (Handler::StartSession, Fakes::new().with_queued_session("s"), session.clone()),
        (Handler::ProvisionTask, Fakes::new().with_queued_session("s"), session.clone()),
        (Handler::ProvisionTask, Fakes::new().with_provisioning_session("s"), session.clone()),
        (Handler::AwaitRunning, Fakes::new().with_starting_session("s"), token.clone()),
        (Handler::AwaitRunning, Fakes::new().with_ready_session("s"), token.clone()),
        (Handler::AwaitEnd, Fakes::new().with_ready_session("s"), token.clone()),
        (Handler::AwaitEnd, Fakes::new().with_stopping_session("s"), token.clone()),
        (Handler::AwaitStopped, Fakes::new().with_stopping_session("s"), token),
        (Handler::InspectSession, Fakes::new().with_ready_session("s"), session.clone()),
        (Handler::StopTask, Fakes::new().with_ready_session("s"), session.clone()),
        (Handler::StopTask, Fakes::new().with_provisioning_session("s"), session.clone()),
        (Handler::CloseSession, job(), session.clone()),
        (Handler::CloseSession, Fakes::new().with_stopping_session("s"), session.clone()),
        (Handler::NotifySession, Fakes::new().with_waiting_session("s"), session.clone()),
        (Handler::ObserveTask, Fakes::new().with_starting_session("s"), running.clone()),
        (Handler::ObserveTask, Fakes::new().with_ready_session("s"), stopped),
        (Handler::ProbeTask, Fakes::new().with_starting_session("s"), running),
        (Handler::RunJob, job(), session),
        (Handler::Sweep, job(), json!({})),
        (Handler::FillPool, Fakes::new(), json!({})),
    ]
}

fn statuses(fakes: &Fakes) -> Vec<(domain::SessionId, domain::session::Status)> {
    let all = fakes.store.all_sessions();
    all.into_iter().map(|read| (read.value.id(), read.value.status())).collect()
}

#[tokio::test]
async fn running_a_handler_twice_is_like_once() {
    for (handler, fakes, input) in worlds() {
        let env = env(&fakes);
        handler.invoke(&env, input.clone()).await.unwrap();
        let once = statuses(&fakes);
        handler.invoke(&env, input).await.unwrap();
        assert_eq!(statuses(&fakes), once, "{}", handler.name());
        assert!(fakes.shell.runs().values().all(|runs| *runs == 1), "{}", handler.name());
    }
}

#[tokio::test]
async fn a_handler_that_failed_at_any_call_succeeds_when_it_is_run_again() {
    for (at, (handler, _, _)) in worlds().into_iter().enumerate() {
        for when in [testkit::FaultPoint::Before, testkit::FaultPoint::After] {
            for call in 0.. {
                let (_, fakes, input) = worlds().swap_remove(at);
                let env = env(&fakes);
                fakes.gate.fail_at(call, when);
                let first = handler.invoke(&env, input.clone()).await;
                let calls = fakes.gate.calls();
                fakes.gate.heal();
                if first.is_err() {
                    handler.invoke(&env, input).await.unwrap();
                }
                let runs = fakes.shell.runs();
                assert!(runs.values().all(|runs| *runs == 1), "{} at {call}", handler.name());
                if call >= calls {
                    break;
                }
            }
        }
    }
}

#[test]
fn every_handler_has_a_name_of_its_own_and_is_found_by_it() {
    let names: HashSet<_> = Handler::ALL.iter().map(|handler| handler.name()).collect();
    assert_eq!(names.len(), Handler::ALL.len());
    for handler in Handler::ALL {
        assert_eq!(handler.name().parse(), Ok(handler));
    }
    assert_eq!("launch-rocket".parse::<Handler>(), Err(UnknownHandler));
}

#[test]
fn a_message_goes_to_a_handler_of_its_own_lane() {
    let messages = [
        Message::StartSession { session: session_id("s") },
        Message::NotifySession { session: session_id("s") },
        Message::FillPool,
        Message::RunJob { session: session_id("s") },
        Message::CancelJob { job: testkit::job_id("j") },
        Message::SignalJob { job: testkit::job_id("j"), signal: 15 },
        Message::TaskEvent { facts: facts("s", TaskStatus::Running) },
        Message::ProbeTask { facts: facts("s", TaskStatus::Running) },
    ];
    for message in messages {
        let (handler, _) = Handler::of_message(&message);
        assert_eq!(handler.trigger(), Trigger::Message(message.lane()), "{}", handler.name());
    }
}

#[tokio::test]
async fn an_input_that_makes_no_sense_is_refused_without_being_quoted() {
    let env = env(&Fakes::new());
    let refused = Handler::AwaitEnd
        .invoke(&env, json!({"sessionId": 1, "token": "t0ken"}))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::BadInput);
    assert!(!format!("{refused} {refused:?}").contains("t0ken"));
}

#[tokio::test]
async fn a_bell_that_can_not_be_rung_fails_nobody() {
    let fakes = Fakes::new();
    fakes.gate.fail_at(0, testkit::FaultPoint::Before);
    let env = env(&fakes);
    notification::send(&env, Message::FillPool, Duration::ZERO).await;
    assert_eq!(fakes.gate.calls(), 1);
    fakes.queue.send(&Message::FillPool, Duration::ZERO).await.unwrap();
}
