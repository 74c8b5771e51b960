//! Faults that must have no lasting effect.

use std::time::Duration;

use domain::{job, message::Message, session::Status};
use fastrand::Rng;
use serde_json::json;
use testkit::{FaultPoint, Script};

use crate::harness::Harness;

const MINUTES: Duration = Duration::from_mins(4);

/// A whole lifecycle: start, a command, stop.
fn run_lifecycle(harness: &mut Harness) -> String {
    let script = Script::prints("done\n").exits(3);
    harness.fakes.shell.script("work", script);
    let id = harness.start(&json!({}));
    let job = harness.execute(id, "work");
    harness.run_until_idle();
    harness.advance(MINUTES);
    assert_eq!(harness.job_status(&job), job::Status::Completed);
    harness.stop(id);
    harness.run_until_idle();
    harness.advance(MINUTES);
    assert_eq!(harness.status(id), Status::Stopped);
    job
}

#[test]
fn one_failing_call_anywhere_in_a_lifecycle_changes_nothing() {
    let mut harness = Harness::new();
    run_lifecycle(&mut harness);
    let calls = harness.fakes.gate.calls();
    assert!(calls > 50, "a lifecycle takes more than {calls} calls");
    for call in 0..calls {
        for point in [FaultPoint::Before, FaultPoint::After] {
            let mut harness = Harness::new();
            harness.fakes.gate.fail_at(call, point);
            let job = run_lifecycle(&mut harness);
            let exit = harness.get(&format!("/v1/jobs/{job}")).1["exitCode"].clone();
            assert_eq!(exit, 3, "call {call} failed {point:?}");
            harness.assert_everything_ended();
        }
    }
}

#[test]
fn a_lifecycle_without_any_message_is_only_slower() {
    let mut harness = Harness::new();
    let id = harness.start(&json!({}));
    let job = harness.execute(id, "true");
    for _ in 0..60 {
        harness.fakes.queue.take_all();
        harness.fakes.compute.take_events();
        harness.advance(Duration::from_secs(5));
        if harness.job_status(&job) == job::Status::Completed {
            break;
        }
        harness.sweep().unwrap();
    }
    assert_eq!(harness.job_status(&job), job::Status::Completed);
}

#[test]
fn duplicated_and_reordered_messages_do_no_harm() {
    for seed in 0..20 {
        let mut rng = Rng::with_seed(seed);
        let mut harness = Harness::new();
        let id = harness.start(&json!({}));
        let job = harness.execute(id, "true");
        let mut sent: Vec<Message> = Vec::new();
        for _ in 0..300 {
            sent.extend(harness.fakes.queue.take_all());
            let events = harness.fakes.compute.take_events();
            sent.extend(events.into_iter().map(|facts| Message::TaskEvent { facts }));
            // A delivered message stays in the list and may be delivered again.
            if let Some(message) = rng.choice(&sent).cloned() {
                harness.deliver(message);
            }
            harness.step_once();
        }
        harness.run_until_idle();
        assert_eq!(harness.job_status(&job), job::Status::Completed, "seed {seed}");
        harness.stop(id);
        harness.run_until_idle();
        sent.into_iter().rev().for_each(|message| harness.deliver(message));
        harness.run_until_idle();
        harness.advance(MINUTES);
        harness.assert_everything_ended();
    }
}

#[test]
fn an_execution_that_lost_its_last_step_in_a_crash_repeats_it() {
    for seed in 0..40 {
        let mut rng = Rng::with_seed(seed);
        let mut harness = Harness::new();
        let id = harness.start(&json!({}));
        let job = harness.execute(id, "true");
        for _ in 0..6 {
            harness.step_once();
            harness.executions().crash(&mut rng);
        }
        harness.run_until_idle();
        harness.advance(MINUTES);
        assert_eq!(harness.job_status(&job), job::Status::Completed, "seed {seed}");
        harness.stop(id);
        harness.advance(MINUTES);
        harness.assert_everything_ended();
    }
}

#[test]
fn a_task_that_appears_after_its_session_ended_is_stopped() {
    let mut harness = Harness::new();
    let id = harness.start(&json!({}));
    harness.run_due_work();
    let task = harness.task_of(id);
    harness.stop(id);
    harness.run_until_idle();
    let facts = harness.fakes.compute.adopt(
        domain::TaskId::new("orphan"),
        &id.to_string(),
        domain::task::TaskStatus::Running,
    );
    harness.deliver(Message::TaskEvent { facts });
    harness.run_until_idle();
    assert_ne!(task.as_str(), "orphan");
    harness.assert_everything_ended();
}
