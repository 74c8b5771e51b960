//! How sessions end.

use std::time::Duration;

use domain::{
    job,
    session::{Reason, Status},
    task::StopCode,
};
use serde_json::json;
use testkit::{Script, Trouble};

use crate::stage::{QUOTA, Stage};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_session_can_be_stopped_in_every_state() {
    for status in ["waiting", "queued", "provisioning", "starting", "ready", "stopping"] {
        let mut stage = Stage::new();
        let id = match status {
            "waiting" => {
                for _ in 0..QUOTA {
                    stage.start(&json!({"ttlSeconds": 60}));
                }
                stage.start(&json!({"admission": "queue"}))
            }
            _ => stage.start(&json!({})),
        };
        match status {
            "provisioning" => {
                stage.fakes.compute.trouble(Trouble::Throttled);
                stage.go_on();
                assert_eq!(stage.status(id), Status::Provisioning);
            }
            "starting" => {
                stage.go_on();
                assert_eq!(stage.status(id), Status::Starting);
            }
            "ready" | "stopping" => stage.settle(),
            _ => {}
        }
        let job = stage.execute(id, "true");
        let first = stage.stop(id);
        if status == "stopping" {
            assert_eq!(stage.status(id), Status::Stopping);
        }
        let second = stage.stop(id);
        stage.settle();
        stage.pass(2 * MINUTE);
        assert_eq!(stage.status(id), Status::Stopped, "{status}");
        assert_eq!(stage.session(id).reason(), Some(Reason::UserStop));
        for stop in [first, second] {
            assert_eq!(stage.job_status(&stop), job::Status::Completed, "{status}");
        }
        assert_eq!(stage.job_status(&job), job::Status::Cancelled, "{status}");
        stage.assert_all_over();
    }
}

#[test]
fn stopping_a_stopped_session_succeeds() {
    let mut stage = Stage::new();
    let id = stage.ready(&json!({}));
    stage.stop(id);
    stage.settle();
    let again = stage.stop(id);
    assert_eq!(stage.job_status(&again), job::Status::Completed);
    stage.assert_all_over();
}

/// A real store takes a hundred writes in a transaction.
#[test]
fn a_session_may_be_stopped_very_often() {
    let mut stage = Stage::new();
    let id = stage.ready(&json!({}));
    let stops: Vec<String> = (0..150).map(|_| stage.stop(id)).collect();
    stage.settle();
    assert_eq!(stage.status(id), Status::Stopped);
    stage.pass(2 * MINUTE);
    for stop in stops {
        assert_eq!(stage.job_status(&stop), job::Status::Completed);
    }
    stage.assert_all_over();
}

#[test]
fn a_session_ends_at_its_time_to_live() {
    let mut stage = Stage::new();
    let id = stage.ready(&json!({"ttlSeconds": 300}));
    stage.pass(5 * MINUTE - Duration::from_secs(10));
    assert_eq!(stage.status(id), Status::Ready);
    stage.pass(Duration::from_secs(30));
    assert_eq!(stage.session(id).reason(), Some(Reason::TtlExpired));
    stage.assert_all_over();
}

#[test]
fn an_extended_session_lives_until_its_new_end() {
    let mut stage = Stage::new();
    let id = stage.ready(&json!({"ttlSeconds": 300}));
    stage.pass(MINUTE);
    let path = format!("/v1/sessions/{id}/extend");
    let (status, _) = stage.post(&path, &json!({"ttlSecondsFromNow": 600}));
    assert_eq!(status, 200);
    stage.pass(9 * MINUTE);
    assert_eq!(stage.status(id), Status::Ready);
    stage.pass(2 * MINUTE);
    assert_eq!(stage.session(id).reason(), Some(Reason::TtlExpired));
    stage.assert_all_over();
}

#[test]
fn a_shortened_session_ends_at_its_new_end_without_a_sweep() {
    let mut stage = Stage::new();
    let id = stage.ready(&json!({"ttlSeconds": 3600}));
    let path = format!("/v1/sessions/{id}/extend");
    stage.post(&path, &json!({"ttlSecondsFromNow": 30, "allowShorten": true}));
    stage.settle();
    stage.fakes.clock.advance(Duration::from_secs(31));
    stage.settle();
    assert_eq!(stage.session(id).reason(), Some(Reason::TtlExpired));
    stage.assert_all_over();
}

#[test]
fn an_idle_session_ends_but_not_while_it_works() {
    let mut stage = Stage::new();
    stage.fakes.shell.script("long", Script::default().lasts(5 * MINUTE));
    let id = stage.ready(&json!({"idleTimeoutSeconds": 60}));
    let job = stage.execute(id, "long");
    stage.settle();
    // The worker has followed the command to its end, and the clock went along.
    assert_eq!(stage.job_status(&job), job::Status::Completed);
    assert_eq!(stage.status(id), Status::Ready);
    stage.pass(Duration::from_secs(50));
    assert_eq!(stage.status(id), Status::Ready);
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.session(id).reason(), Some(Reason::IdleTimeout));
    stage.assert_all_over();
}

#[test]
fn a_session_of_one_command_ends_with_it() {
    let mut stage = Stage::new();
    stage.fakes.shell.script("build", Script::prints("done\n").exits(7));
    let (_, body) = stage.post("/v1/shell/start", &json!({"command": "build"}));
    stage.settle();
    let job = body["commandJobId"].as_str().unwrap();
    let (_, seen) = stage.get(&format!("/v1/jobs/{job}"));
    assert_eq!((&seen["exitCode"], &seen["stdout"]["text"]), (&json!(7), &json!("done\n")));
    let id = body["sessionId"].as_str().unwrap().parse().unwrap();
    assert_eq!(stage.session(id).reason(), Some(Reason::CommandFinished));
    stage.assert_all_over();
}

#[test]
fn a_draining_session_finishes_its_jobs_and_takes_no_more() {
    let mut stage = Stage::new();
    let id = stage.start(&json!({}));
    let jobs = [stage.execute(id, "one"), stage.execute(id, "two")];
    let (status, _) = stage.post("/v1/shell/stop", &json!({"sessionId": id, "drain": true}));
    assert_eq!(status, 202);
    let (status, _) = stage.post("/v1/shell/execute", &json!({"sessionId": id, "command": "x"}));
    assert!((400..500).contains(&status), "{status}");
    stage.settle();
    for job in jobs {
        assert_eq!(stage.job_status(&job), job::Status::Completed);
    }
    assert_eq!(stage.session(id).reason(), Some(Reason::UserStop));
    stage.assert_all_over();
}

#[test]
fn a_task_that_dies_takes_its_session_along_and_says_why() {
    let reasons = [
        (StopCode::Exited, Reason::TaskExited),
        (StopCode::OutOfMemory, Reason::OomKilled),
        (StopCode::Interrupted, Reason::SpotInterruption),
    ];
    for (code, reason) in reasons {
        let mut stage = Stage::new();
        let id = stage.ready(&json!({}));
        stage.fakes.compute.die(&stage.task_of(id), code);
        stage.settle();
        assert_eq!(stage.status(id), Status::Failed);
        assert_eq!(stage.session(id).reason(), Some(reason));
        stage.assert_all_over();
    }
}

#[test]
fn a_warning_of_the_provider_ends_the_session_before_its_task_is_gone() {
    let mut stage = Stage::new();
    let id = stage.ready(&json!({}));
    stage.fakes.compute.interrupt(&stage.task_of(id));
    stage.settle();
    assert_eq!(stage.session(id).reason(), Some(Reason::SpotInterruption));
    stage.assert_all_over();
}

#[test]
fn a_runner_that_never_answers_ends_in_a_timeout() {
    let mut stage = Stage::new();
    let id = stage.start(&json!({}));
    stage.go_on();
    stage.fakes.shell.silence(&stage.task_of(id));
    stage.pass(12 * MINUTE);
    assert_eq!(stage.session(id).reason(), Some(Reason::ProvisionTimeout));
    let (_, start) = stage.get(&format!("/v1/jobs/{}", stage.session(id).start_job()));
    assert_eq!(start["status"], "failed");
    stage.assert_all_over();
}

#[test]
fn a_start_without_capacity_is_tried_again_and_then_given_up() {
    let mut stage = Stage::new();
    (0..2).for_each(|_| stage.fakes.compute.trouble(Trouble::Capacity));
    let lucky = stage.start(&json!({}));
    stage.pass(2 * MINUTE);
    assert_eq!(stage.status(lucky), Status::Ready);
    let tokens = stage.fakes.compute.requests().into_iter().map(|request| request.client_token);
    let wanted = (1..=3).map(|attempt| format!("{lucky}-a{attempt}"));
    assert_eq!(tokens.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());

    (0..20).for_each(|_| stage.fakes.compute.trouble(Trouble::Capacity));
    let unlucky = stage.start(&json!({}));
    stage.pass(12 * MINUTE);
    assert_eq!(stage.session(unlucky).reason(), Some(Reason::CapacityUnavailable));
}
