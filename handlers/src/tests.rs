use std::{collections::HashSet, time::Duration};

use domain::{
    DeliveryId,
    message::Message,
    ports::{Ids, Queue},
    size::Network,
    task::{TaskFacts, TaskStatus},
};
use serde_json::{Value, json};
use testkit::{Fakes, session_id, task_id};

use super::*;

/// The ports of `fakes` with the rules of a small deployment.
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

/// A call of a handler.
#[derive(Debug, Clone)]
enum Call {
    Step(Step, Value),
    Message(Message),
    Sweep,
}

impl Call {
    async fn run(self, env: &Env) -> Result<(), HandlerError> {
        match self {
            Self::Step(step, input) => step.run(env, input).await.map(|_| ()),
            Self::Message(message) => handle(env, message).await,
            Self::Sweep => sweep(env).await.map(|_| ()),
        }
    }
}

/// Calls of every kind, each with ports in a state in which the handler has something to do.
fn calls() -> Vec<(Call, Fakes)> {
    let step = |step| Call::Step(step, json!({"sessionId": session_id("s")}));
    let wait = |step| {
        Call::Step(step, json!({"sessionId": session_id("s"), "token": "t", "waitSeconds": 3600}))
    };
    let session = session_id("s");
    let running = facts("s", TaskStatus::Running);
    let stopped = facts("s", TaskStatus::Stopped);
    let with_job = || Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true");
    let message = Call::Message;
    vec![
        (step(Step::ProvisionTask), Fakes::new().with_queued_session("s")),
        (step(Step::ProvisionTask), Fakes::new().with_provisioning_session("s")),
        (wait(Step::AwaitRunning), Fakes::new().with_starting_session("s")),
        (wait(Step::AwaitRunning), Fakes::new().with_ready_session("s")),
        (wait(Step::AwaitEnd), Fakes::new().with_ready_session("s")),
        (wait(Step::AwaitEnd), Fakes::new().with_stopping_session("s")),
        (wait(Step::StopTask), Fakes::new().with_stopping_session("s")),
        (step(Step::InspectSession), Fakes::new().with_ready_session("s")),
        (wait(Step::StopTask), Fakes::new().with_ready_session("s")),
        (wait(Step::StopTask), Fakes::new().with_provisioning_session("s")),
        (step(Step::CloseSession), with_job()),
        (step(Step::CloseSession), Fakes::new().with_stopping_session("s")),
        (message(Message::StartSession { session }), Fakes::new().with_queued_session("s")),
        (message(Message::NotifySession { session }), Fakes::new().with_waiting_session("s")),
        (
            message(Message::TaskEvent { facts: running.clone() }),
            Fakes::new().with_starting_session("s"),
        ),
        (message(Message::TaskEvent { facts: stopped }), Fakes::new().with_ready_session("s")),
        (message(Message::ProbeTask { facts: running }), Fakes::new().with_starting_session("s")),
        (message(Message::RunJob { session }), with_job()),
        (message(Message::FillPool), Fakes::new()),
        (Call::Sweep, with_job()),
    ]
}

fn statuses(fakes: &Fakes) -> Vec<(domain::SessionId, domain::session::Status)> {
    let all = fakes.store.all_sessions();
    all.into_iter().map(|read| (read.value.id(), read.value.status())).collect()
}

#[tokio::test]
async fn a_handler_that_runs_twice_has_the_effect_of_one_run() {
    for (call, fakes) in calls() {
        let env = env(&fakes);
        call.clone().run(&env).await.unwrap();
        let once = statuses(&fakes);
        call.clone().run(&env).await.unwrap();
        assert_eq!(statuses(&fakes), once, "{call:?}");
        assert!(fakes.shell.runs().values().all(|runs| *runs == 1), "{call:?}");
    }
}

#[tokio::test]
async fn a_handler_that_failed_at_any_call_succeeds_when_it_is_run_again() {
    for (number, (call, _)) in calls().into_iter().enumerate() {
        for when in [testkit::FaultPoint::Before, testkit::FaultPoint::After] {
            for at in 0.. {
                let (_, fakes) = calls().swap_remove(number);
                let env = env(&fakes);
                fakes.gate.fail_at(at, when);
                let first = call.clone().run(&env).await;
                let port_calls = fakes.gate.calls();
                fakes.gate.heal();
                if first.is_err() {
                    call.clone().run(&env).await.unwrap();
                }
                let runs = fakes.shell.runs();
                assert!(runs.values().all(|runs| *runs == 1), "{call:?} at port call {at}");
                if at >= port_calls {
                    break;
                }
            }
        }
    }
}

#[test]
fn every_handler_has_a_name_of_its_own() {
    let distinct: HashSet<_> = names().collect();
    assert_eq!(distinct.len(), names().count());
    assert_eq!(distinct.len(), 19);
}

#[test]
fn a_step_is_found_by_its_name() {
    for step in Step::ALL {
        assert_eq!(step.name().parse(), Ok(step));
    }
    let unknown = "launch-rocket".to_owned();
    assert_eq!(unknown.parse::<Step>(), Err(UnknownStepError(unknown)));
}

#[test]
fn every_message_has_a_handler_of_its_own() {
    let session = session_id("s");
    let messages = [
        Message::StartSession { session },
        Message::NotifySession { session },
        Message::FillPool,
        Message::RunJob { session },
        Message::RunClaimed { session, job: testkit::job_id("j") },
        Message::CancelJob { job: testkit::job_id("j") },
        Message::SignalJob { job: testkit::job_id("j"), signal: 15 },
        Message::OpenTerminal { job: testkit::job_id("j") },
        Message::SetDeadline { session },
        Message::TaskEvent { facts: facts("s", TaskStatus::Running) },
        Message::ProbeTask { facts: facts("s", TaskStatus::Running) },
        Message::DeliverWebhook { delivery: DeliveryId::from_ulid(Fakes::new().ids.ulid()) },
    ];
    let found: HashSet<_> = messages.iter().map(handler_of).collect();
    assert_eq!(found, message::HANDLERS.into());
}

#[tokio::test]
async fn an_invalid_input_is_refused_without_being_quoted() {
    let env = env(&Fakes::new());
    let refused =
        Step::AwaitEnd.run(&env, json!({"sessionId": 1, "token": "t0ken"})).await.unwrap_err();
    assert_eq!(refused.code(), Code::BadInput);
    assert!(!format!("{refused} {refused:?}").contains("t0ken"));
}

#[tokio::test]
async fn a_message_that_can_not_be_sent_is_no_error() {
    let fakes = Fakes::new();
    fakes.gate.fail_at(0, testkit::FaultPoint::Before);
    let env = env(&fakes);
    notification::send(&env, Message::FillPool, Duration::ZERO).await;
    assert_eq!(fakes.gate.calls(), 1);
    fakes.queue.send(&Message::FillPool, Duration::ZERO).await.unwrap();
}
