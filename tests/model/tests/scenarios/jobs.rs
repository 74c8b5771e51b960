//! How commands run.

use std::{
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use domain::{
    job,
    message::Message,
    ports::Stream,
    session::{Reason, Status},
};
use serde_json::json;
use testkit::Script;

use crate::stage::Stage;

#[test]
fn a_command_may_be_sent_before_its_shell_is_ready() {
    let mut stage = Stage::new();
    stage.fakes.shell.script("hello", Script::prints("hello\n"));
    let id = stage.start(&json!({}));
    let job = stage.execute(id, "hello");
    assert_eq!(stage.job_status(&job), job::Status::Queued);
    stage.settle();
    let (_, seen) = stage.get(&format!("/v1/jobs/{job}"));
    assert_eq!((&seen["status"], &seen["exitCode"]), (&json!("completed"), &json!(0)));
    assert_eq!(seen["stdout"]["text"], "hello\n");
}

#[test]
fn serial_commands_run_in_order_of_arrival_and_parallel_ones_at_once() {
    let mut stage = Stage::new();
    let slow = || Script::default().lasts(Duration::from_secs(60));
    stage.fakes.shell.script("slow", slow());
    let id = stage.ready(&json!({}));
    let jobs = [stage.execute(id, "slow"), stage.execute(id, "two"), stage.execute(id, "three")];
    stage.settle();
    let begun: Vec<_> = jobs.iter().map(|job| stage.job(job).started_at()).collect();
    assert!(begun.is_sorted(), "{begun:?}");
    assert_eq!(stage.fakes.shell.overlaps(), []);
    for job in jobs {
        assert_eq!(stage.job_status(&job), job::Status::Completed);
    }
}

#[test]
fn a_command_that_is_cancelled_in_the_queue_never_runs() {
    let mut stage = Stage::new();
    let id = stage.start(&json!({}));
    let job = stage.execute(id, "never");
    stage.post(&format!("/v1/jobs/{job}/cancel"), &json!({}));
    stage.settle();
    assert_eq!(stage.job_status(&job), job::Status::Cancelled);
    assert!(stage.fakes.shell.runs().is_empty());
    assert_eq!(stage.status(id), Status::Ready);
}

/// The claim, the start, each piece of output, the end: a worker may die at any of its awaits.
#[test]
fn a_worker_that_dies_anywhere_is_followed_by_another() {
    for polls in 1.. {
        let mut stage = Stage::new();
        let script = Script::prints("one\n").then(Duration::from_secs(3), Stream::Stderr, "two\n");
        stage.fakes.shell.script("work", script.exits(5));
        let id = stage.ready(&json!({}));
        let job = stage.execute(id, "work");
        stage.fakes.queue.take_all();
        stage.fakes.gate.interleave();
        let finished = {
            let work = handlers::handle(&stage.env, Message::RunJob { session: id });
            let (mut work, mut context) = (pin!(work), Context::from_waker(Waker::noop()));
            (0..polls).any(|_| {
                stage.fakes.clock.advance(Duration::from_millis(200));
                work.as_mut().poll(&mut context).is_ready()
            })
        };
        stage.fakes.gate.proceed();
        stage.pass(Duration::from_mins(3));
        let (_, seen) = stage.get(&format!("/v1/jobs/{job}"));
        assert_eq!(seen["exitCode"], 5, "killed after {polls} polls: {seen}");
        assert_eq!(
            (&seen["stdout"]["text"], &seen["stderr"]["text"]),
            (&json!("one\n"), &json!("two\n"))
        );
        assert_eq!(stage.fakes.shell.runs().into_values().collect::<Vec<_>>(), [1]);
        if finished {
            assert!(polls > 10, "a worker awaits more often than {polls} times");
            return;
        }
    }
}

#[test]
fn a_worker_that_was_thought_dead_writes_nothing_any_more() {
    let mut stage = Stage::new();
    let script = Script::prints("one\n").lasts(Duration::from_mins(5));
    stage.fakes.shell.script("work", script);
    let id = stage.ready(&json!({}));
    let job = stage.execute(id, "work");
    stage.fakes.queue.take_all();
    stage.fakes.gate.interleave();
    let env = stage.env.clone();
    let mut zombie = pin!(handlers::handle(&env, Message::RunJob { session: id }));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..20 {
        assert!(zombie.as_mut().poll(&mut context).is_pending());
    }
    stage.fakes.gate.proceed();
    // Its lease lapses, and another takes over until the end.
    stage.pass(Duration::from_mins(7));
    assert_eq!(stage.job_status(&job), job::Status::Completed);
    let before = stage.job(&job);
    assert_eq!(before.attempt(), 2);
    while zombie.as_mut().poll(&mut context).is_pending() {}
    assert_eq!(stage.job(&job), before);
}

#[test]
fn what_ran_when_the_session_ended_is_never_called_completed() {
    let mut stage = Stage::with_policy(|policy| policy.worker_hold = Duration::from_secs(20));
    stage.fakes.shell.script("endless", Script::default().lasts(Duration::from_hours(9)));
    let id = stage.ready(&json!({"ttlSeconds": 120}));
    let jobs = [stage.execute(id, "endless"), stage.execute(id, "next")];
    stage.pass(Duration::from_mins(5));
    assert_eq!(stage.session(id).reason(), Some(Reason::TtlExpired));
    assert_eq!(stage.job_status(&jobs[0]), job::Status::Lost);
    assert_eq!(stage.job_status(&jobs[1]), job::Status::Cancelled);
    stage.assert_all_over();
}

/// A real store takes a hundred writes in a transaction, and each stream is stored by itself.
#[test]
fn output_that_changes_its_stream_with_each_line_is_stored_whole() {
    let mut stage = Stage::new();
    let mut script = Script::default();
    for line in 0..300 {
        let stream = if line % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
        script = script.then(Duration::ZERO, stream, &format!("{line}\n"));
    }
    stage.fakes.shell.script("chatter", script);
    let id = stage.ready(&json!({}));
    let job = stage.execute(id, "chatter");
    stage.settle();
    let (_, seen) = stage.get(&format!("/v1/jobs/{job}"));
    let lines = |parity: u32| -> String {
        (0..300).filter(|line| line % 2 == parity).map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(seen["stdout"]["text"], lines(0));
    assert_eq!(seen["stderr"]["text"], lines(1));
}
