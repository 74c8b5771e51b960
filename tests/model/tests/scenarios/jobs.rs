//! Commands.

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

use crate::harness::Harness;

#[test]
fn a_command_may_be_sent_before_its_shell_is_ready() {
    let mut harness = Harness::new();
    harness.fakes.shell.script("hello", Script::prints("hello\n"));
    let id = harness.start(&json!({}));
    let job = harness.execute(id, "hello");
    assert_eq!(harness.job_status(&job), job::Status::Queued);
    harness.run_until_idle();
    let (_, seen) = harness.get(&format!("/v1/jobs/{job}"));
    assert_eq!((&seen["status"], &seen["exitCode"]), (&json!("completed"), &json!(0)));
    assert_eq!(seen["stdout"]["text"], "hello\n");
}

#[test]
fn serial_commands_run_in_order_of_arrival_and_parallel_ones_at_once() {
    let mut harness = Harness::new();
    let slow = || Script::default().lasts(Duration::from_secs(60));
    harness.fakes.shell.script("slow", slow());
    let id = harness.ready(&json!({}));
    let jobs =
        [harness.execute(id, "slow"), harness.execute(id, "two"), harness.execute(id, "three")];
    harness.run_until_idle();
    let begun: Vec<_> = jobs.iter().map(|job| harness.job(job).started_at()).collect();
    assert!(begun.is_sorted(), "{begun:?}");
    assert_eq!(harness.fakes.shell.overlaps(), []);
    for job in jobs {
        assert_eq!(harness.job_status(&job), job::Status::Completed);
    }
}

#[test]
fn a_command_that_is_cancelled_in_the_queue_never_runs() {
    let mut harness = Harness::new();
    let id = harness.start(&json!({}));
    let job = harness.execute(id, "never");
    harness.post(&format!("/v1/jobs/{job}/cancel"), &json!({}));
    harness.run_until_idle();
    assert_eq!(harness.job_status(&job), job::Status::Cancelled);
    assert!(harness.fakes.shell.runs().is_empty());
    assert_eq!(harness.status(id), Status::Ready);
}

/// A worker may die at any await: in the claim, the start, each piece of output, the end.
#[test]
fn a_worker_that_dies_at_any_await_is_replaced() {
    for polls in 1.. {
        let mut harness = Harness::new();
        let script = Script::prints("one\n").then(Duration::from_secs(3), Stream::Stderr, "two\n");
        harness.fakes.shell.script("work", script.exits(5));
        let id = harness.ready(&json!({}));
        let job = harness.execute(id, "work");
        harness.fakes.queue.take_all();
        harness.fakes.gate.interleave();
        let finished = {
            let work = handlers::handle(&harness.env, Message::RunJob { session: id });
            let (mut work, mut context) = (pin!(work), Context::from_waker(Waker::noop()));
            (0..polls).any(|_| {
                harness.fakes.clock.advance(Duration::from_millis(200));
                work.as_mut().poll(&mut context).is_ready()
            })
        };
        harness.fakes.gate.proceed();
        harness.advance(Duration::from_mins(3));
        let (_, seen) = harness.get(&format!("/v1/jobs/{job}"));
        assert_eq!(seen["exitCode"], 5, "killed after {polls} polls: {seen}");
        assert_eq!(
            (&seen["stdout"]["text"], &seen["stderr"]["text"]),
            (&json!("one\n"), &json!("two\n"))
        );
        assert_eq!(harness.fakes.shell.runs().into_values().collect::<Vec<_>>(), [1]);
        if finished {
            assert!(polls > 10, "a worker awaits more often than {polls} times");
            return;
        }
    }
}

#[test]
fn a_worker_whose_lease_expired_writes_nothing_more() {
    let mut harness = Harness::new();
    let script = Script::prints("one\n").lasts(Duration::from_mins(5));
    harness.fakes.shell.script("work", script);
    let id = harness.ready(&json!({}));
    let job = harness.execute(id, "work");
    harness.fakes.queue.take_all();
    harness.fakes.gate.interleave();
    let env = harness.env.clone();
    let mut zombie = pin!(handlers::handle(&env, Message::RunJob { session: id }));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..20 {
        assert!(zombie.as_mut().poll(&mut context).is_pending());
    }
    harness.fakes.gate.proceed();
    // The lease expires, and another worker follows the command to its end.
    harness.advance(Duration::from_mins(7));
    assert_eq!(harness.job_status(&job), job::Status::Completed);
    let before = harness.job(&job);
    assert_eq!(before.attempt(), 2);
    while zombie.as_mut().poll(&mut context).is_pending() {}
    assert_eq!(harness.job(&job), before);
}

#[test]
fn a_command_that_ran_when_its_session_ended_is_never_completed() {
    let mut harness = Harness::with_policy(|policy| policy.worker_hold = Duration::from_secs(20));
    harness.fakes.shell.script("endless", Script::default().lasts(Duration::from_hours(9)));
    let id = harness.ready(&json!({"ttlSeconds": 120}));
    let jobs = [harness.execute(id, "endless"), harness.execute(id, "next")];
    harness.advance(Duration::from_mins(5));
    assert_eq!(harness.session(id).reason(), Some(Reason::TtlExpired));
    assert_eq!(harness.job_status(&jobs[0]), job::Status::Lost);
    assert_eq!(harness.job_status(&jobs[1]), job::Status::Cancelled);
    harness.assert_everything_ended();
}

/// DynamoDB accepts a hundred writes in a transaction, and each piece of a stream is one write.
#[test]
fn output_that_alternates_between_streams_is_stored_completely() {
    let mut harness = Harness::new();
    let mut script = Script::default();
    for line in 0..300 {
        let stream = if line % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
        script = script.then(Duration::ZERO, stream, &format!("{line}\n"));
    }
    harness.fakes.shell.script("chatter", script);
    let id = harness.ready(&json!({}));
    let job = harness.execute(id, "chatter");
    harness.run_until_idle();
    let (_, seen) = harness.get(&format!("/v1/jobs/{job}"));
    let lines = |parity: u32| -> String {
        (0..300).filter(|line| line % 2 == parity).map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(seen["stdout"]["text"], lines(0));
    assert_eq!(seen["stderr"]["text"], lines(1));
}
