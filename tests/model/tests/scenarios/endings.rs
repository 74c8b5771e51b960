//! The ends of sessions.

use std::time::Duration;

use domain::{
    job,
    session::{Reason, Status},
    task::{StopCode, TaskStatus},
};
use serde_json::json;
use testkit::{RunFault, Script};

use crate::harness::{Harness, QUOTA};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_session_can_be_stopped_in_every_state() {
    for status in ["waiting", "queued", "provisioning", "starting", "ready", "stopping"] {
        let mut harness = Harness::new();
        let id = match status {
            "waiting" => {
                for _ in 0..QUOTA {
                    harness.start(&json!({"ttlSeconds": 60}));
                }
                harness.start(&json!({"admission": "queue"}))
            }
            _ => harness.start(&json!({})),
        };
        match status {
            "provisioning" => {
                harness.fakes.compute.fail_next_run(RunFault::Throttled);
                harness.run_due_work();
                assert_eq!(harness.status(id), Status::Provisioning);
            }
            "starting" => {
                harness.run_due_work();
                assert_eq!(harness.status(id), Status::Starting);
            }
            "ready" | "stopping" => harness.run_until_idle(),
            _ => {}
        }
        let job = harness.execute(id, "true");
        let first = harness.stop(id);
        if status == "stopping" {
            assert_eq!(harness.status(id), Status::Stopping);
        }
        let second = harness.stop(id);
        harness.run_until_idle();
        harness.advance(2 * MINUTE);
        assert_eq!(harness.status(id), Status::Stopped, "{status}");
        assert_eq!(harness.session(id).reason(), Some(Reason::UserStop));
        for stop in [first, second] {
            assert_eq!(harness.job_status(&stop), job::Status::Completed, "{status}");
        }
        assert_eq!(harness.job_status(&job), job::Status::Cancelled, "{status}");
        harness.assert_everything_ended();
    }
}

#[test]
fn stopping_a_stopped_session_succeeds() {
    let mut harness = Harness::new();
    let id = harness.ready(&json!({}));
    harness.stop(id);
    harness.run_until_idle();
    let again = harness.stop(id);
    assert_eq!(harness.job_status(&again), job::Status::Completed);
    harness.assert_everything_ended();
}

/// DynamoDB accepts a hundred writes in a transaction.
#[test]
fn a_session_may_be_stopped_many_times() {
    let mut harness = Harness::new();
    let id = harness.ready(&json!({}));
    let stops: Vec<String> = (0..150).map(|_| harness.stop(id)).collect();
    harness.run_until_idle();
    assert_eq!(harness.status(id), Status::Stopped);
    harness.advance(2 * MINUTE);
    for stop in stops {
        assert_eq!(harness.job_status(&stop), job::Status::Completed);
    }
    harness.assert_everything_ended();
}

#[test]
fn a_session_ends_at_its_time_to_live() {
    let mut harness = Harness::new();
    let id = harness.ready(&json!({"ttlSeconds": 300}));
    harness.advance(5 * MINUTE - Duration::from_secs(10));
    assert_eq!(harness.status(id), Status::Ready);
    harness.advance(Duration::from_secs(30));
    assert_eq!(harness.session(id).reason(), Some(Reason::TtlExpired));
    harness.assert_everything_ended();
}

#[test]
fn an_extended_session_lives_until_its_new_end() {
    let mut harness = Harness::new();
    let id = harness.ready(&json!({"ttlSeconds": 300}));
    harness.advance(MINUTE);
    let path = format!("/v1/sessions/{id}/extend");
    let (status, _) = harness.post(&path, &json!({"ttlSecondsFromNow": 600}));
    assert_eq!(status, 200);
    harness.advance(9 * MINUTE);
    assert_eq!(harness.status(id), Status::Ready);
    harness.advance(2 * MINUTE);
    assert_eq!(harness.session(id).reason(), Some(Reason::TtlExpired));
    harness.assert_everything_ended();
}

#[test]
fn a_shortened_session_ends_at_its_new_end_without_a_sweep() {
    let mut harness = Harness::new();
    let id = harness.ready(&json!({"ttlSeconds": 3600}));
    let path = format!("/v1/sessions/{id}/extend");
    harness.post(&path, &json!({"ttlSecondsFromNow": 30, "allowShorten": true}));
    harness.run_until_idle();
    harness.fakes.clock.advance(Duration::from_secs(31));
    harness.run_until_idle();
    assert_eq!(harness.session(id).reason(), Some(Reason::TtlExpired));
    harness.assert_everything_ended();
}

#[test]
fn an_idle_session_ends_but_not_while_it_works() {
    let mut harness = Harness::new();
    harness.fakes.shell.script("long", Script::default().lasts(5 * MINUTE));
    let id = harness.ready(&json!({"idleTimeoutSeconds": 60}));
    let job = harness.execute(id, "long");
    harness.run_until_idle();
    // The worker has followed the command to its end, which moved the clock.
    assert_eq!(harness.job_status(&job), job::Status::Completed);
    assert_eq!(harness.status(id), Status::Ready);
    harness.advance(Duration::from_secs(50));
    assert_eq!(harness.status(id), Status::Ready);
    harness.advance(Duration::from_secs(60));
    assert_eq!(harness.session(id).reason(), Some(Reason::IdleTimeout));
    harness.assert_everything_ended();
}

#[test]
fn a_session_of_one_command_ends_with_it() {
    let mut harness = Harness::new();
    harness.fakes.shell.script("build", Script::prints("done\n").exits(7));
    let (_, body) = harness.post("/v1/shell/start", &json!({"command": "build"}));
    harness.run_until_idle();
    let job = body["commandJobId"].as_str().unwrap();
    let (_, seen) = harness.get(&format!("/v1/jobs/{job}"));
    assert_eq!((&seen["exitCode"], &seen["stdout"]["text"]), (&json!(7), &json!("done\n")));
    let id = body["sessionId"].as_str().unwrap().parse().unwrap();
    assert_eq!(harness.session(id).reason(), Some(Reason::CommandFinished));
    harness.assert_everything_ended();
}

#[test]
fn a_draining_session_finishes_its_jobs_and_takes_no_more() {
    let mut harness = Harness::new();
    let id = harness.start(&json!({}));
    let jobs = [harness.execute(id, "one"), harness.execute(id, "two")];
    let (status, _) = harness.post("/v1/shell/stop", &json!({"sessionId": id, "drain": true}));
    assert_eq!(status, 202);
    let (status, _) = harness.post("/v1/shell/execute", &json!({"sessionId": id, "command": "x"}));
    assert!((400..500).contains(&status), "{status}");
    harness.run_until_idle();
    for job in jobs {
        assert_eq!(harness.job_status(&job), job::Status::Completed);
    }
    assert_eq!(harness.session(id).reason(), Some(Reason::UserStop));
    harness.assert_everything_ended();
}

#[test]
fn a_task_that_dies_ends_its_session_with_a_reason() {
    let reasons = [
        (StopCode::Exited, Reason::TaskExited),
        (StopCode::OutOfMemory, Reason::OomKilled),
        (StopCode::Interrupted, Reason::SpotInterruption),
    ];
    for (code, reason) in reasons {
        let mut harness = Harness::new();
        let id = harness.ready(&json!({}));
        harness.fakes.compute.die(&harness.task_of(id), code);
        harness.run_until_idle();
        assert_eq!(harness.status(id), Status::Failed);
        assert_eq!(harness.session(id).reason(), Some(reason));
        harness.assert_everything_ended();
    }
}

#[test]
fn an_interruption_notice_ends_the_session_before_its_task_stops() {
    let mut harness = Harness::new();
    let id = harness.ready(&json!({}));
    harness.fakes.compute.interrupt(&harness.task_of(id));
    harness.run_until_idle();
    assert_eq!(harness.session(id).reason(), Some(Reason::SpotInterruption));
    harness.assert_everything_ended();
}

#[test]
fn a_runner_that_never_answers_ends_in_a_timeout() {
    let mut harness = Harness::new();
    let id = harness.start(&json!({}));
    harness.run_due_work();
    harness.fakes.shell.silence(&harness.task_of(id));
    harness.advance(12 * MINUTE);
    assert_eq!(harness.session(id).reason(), Some(Reason::ProvisionTimeout));
    let (_, start) = harness.get(&format!("/v1/jobs/{}", harness.session(id).start_job()));
    assert_eq!(start["status"], "failed");
    harness.assert_everything_ended();
}

#[test]
fn a_task_that_never_gets_a_place_ends_for_lack_of_capacity() {
    let mut harness = Harness::new();
    harness.fakes.compute.withhold_places(true);
    let id = harness.start(&json!({}));
    harness.advance(7 * MINUTE);
    assert_eq!(harness.status(id), Status::Starting);
    harness.advance(2 * MINUTE);
    let session = harness.session(id);
    assert_eq!(session.reason(), Some(Reason::CapacityUnavailable));
    let (_, start) = harness.get(&format!("/v1/jobs/{}", session.start_job()));
    assert_eq!(start["status"], "failed");
    harness.assert_everything_ended();
}

#[test]
fn a_task_that_gets_its_place_late_serves_its_session() {
    let mut harness = Harness::new();
    harness.fakes.compute.withhold_places(true);
    let id = harness.start(&json!({}));
    harness.advance(6 * MINUTE);
    harness.fakes.compute.advance(&harness.task_of(id), TaskStatus::Pending);
    harness.advance(MINUTE);
    assert_eq!(harness.status(id), Status::Ready);
}

#[test]
fn a_start_without_capacity_is_retried_and_then_fails() {
    let mut harness = Harness::new();
    (0..2).for_each(|_| harness.fakes.compute.fail_next_run(RunFault::Capacity));
    let lucky = harness.start(&json!({}));
    harness.advance(2 * MINUTE);
    assert_eq!(harness.status(lucky), Status::Ready);
    let tokens = harness.fakes.compute.requests().into_iter().map(|request| request.client_token);
    let wanted = (1..=3).map(|attempt| format!("{lucky}-a{attempt}"));
    assert_eq!(tokens.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());

    (0..20).for_each(|_| harness.fakes.compute.fail_next_run(RunFault::Capacity));
    let unlucky = harness.start(&json!({}));
    harness.advance(12 * MINUTE);
    assert_eq!(harness.session(unlucky).reason(), Some(Reason::CapacityUnavailable));
}
