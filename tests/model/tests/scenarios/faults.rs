//! What must not matter.

use std::time::Duration;

use domain::{job, message::Message, session::Status};
use serde_json::json;
use testkit::{Dice, Script, When};

use crate::stage::Stage;

const MINUTES: Duration = Duration::from_mins(4);

/// A whole life: start, a command, stop.
fn live(stage: &mut Stage) -> String {
    let script = Script::prints("done\n").exits(3);
    stage.fakes.shell.script("work", script);
    let id = stage.start(&json!({}));
    let job = stage.execute(id, "work");
    stage.settle();
    stage.pass(MINUTES);
    assert_eq!(stage.job_status(&job), job::Status::Completed);
    stage.stop(id);
    stage.settle();
    stage.pass(MINUTES);
    assert_eq!(stage.status(id), Status::Stopped);
    job
}

#[test]
fn one_failing_call_anywhere_in_a_life_changes_nothing() {
    let mut stage = Stage::new();
    live(&mut stage);
    let calls = stage.fakes.gate.calls();
    assert!(calls > 50, "a life takes more than {calls} calls");
    for call in 0..calls {
        for when in [When::Before, When::After] {
            let mut stage = Stage::new();
            stage.fakes.gate.fail_at(call, when);
            let job = live(&mut stage);
            let exit = stage.get(&format!("/v1/jobs/{job}")).1["exitCode"].clone();
            assert_eq!(exit, 3, "call {call} failed {when:?}");
            stage.assert_all_over();
        }
    }
}

#[test]
fn a_life_without_any_message_is_only_slower() {
    let mut stage = Stage::new();
    let id = stage.start(&json!({}));
    let job = stage.execute(id, "true");
    for _ in 0..60 {
        stage.fakes.queue.take_all();
        stage.fakes.compute.take_events();
        stage.pass(Duration::from_secs(5));
        if stage.job_status(&job) == job::Status::Completed {
            break;
        }
        stage.sweep().unwrap();
    }
    assert_eq!(stage.job_status(&job), job::Status::Completed);
}

#[test]
fn messages_that_come_twice_and_in_any_order_do_no_harm() {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let mut stage = Stage::new();
        let id = stage.start(&json!({}));
        let job = stage.execute(id, "true");
        let mut sent: Vec<Message> = Vec::new();
        for _ in 0..300 {
            sent.extend(stage.fakes.queue.take_all());
            let events = stage.fakes.compute.take_events();
            sent.extend(events.into_iter().map(|facts| Message::TaskEvent { facts }));
            // None is ever used up.
            if let Some(message) = dice.pick(&sent).cloned() {
                stage.deliver(message);
            }
            stage.one_round();
        }
        stage.settle();
        assert_eq!(stage.job_status(&job), job::Status::Completed, "seed {seed}");
        stage.stop(id);
        stage.settle();
        sent.into_iter().rev().for_each(|message| stage.deliver(message));
        stage.settle();
        stage.pass(MINUTES);
        stage.assert_all_over();
    }
}

#[test]
fn an_execution_that_lost_its_last_step_in_a_crash_does_it_again() {
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let mut stage = Stage::new();
        let id = stage.start(&json!({}));
        let job = stage.execute(id, "true");
        for _ in 0..6 {
            stage.one_round();
            stage.executions().crash(&mut dice);
        }
        stage.settle();
        stage.pass(MINUTES);
        assert_eq!(stage.job_status(&job), job::Status::Completed, "seed {seed}");
        stage.stop(id);
        stage.pass(MINUTES);
        stage.assert_all_over();
    }
}

#[test]
fn an_event_of_a_task_that_came_too_late_kills_that_task() {
    let mut stage = Stage::new();
    let id = stage.start(&json!({}));
    stage.go_on();
    let task = stage.task_of(id);
    stage.stop(id);
    stage.settle();
    let facts = stage.fakes.compute.adopt(
        domain::TaskId::new("orphan"),
        &id.to_string(),
        domain::task::TaskStatus::Running,
    );
    stage.deliver(Message::TaskEvent { facts });
    stage.settle();
    assert_ne!(task.as_str(), "orphan");
    stage.assert_all_over();
}
