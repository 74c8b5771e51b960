//! Commands that are claimed when they are accepted: where the API and the workers are one process, and where the
//! API posts them to runners that report by themselves.

use std::{sync::Arc, time::Duration};

use domain::{
    job::{Job, LEASE, Status},
    message::Message,
    ports::RunLimits,
};
use serde_json::json;
use testkit::{Fakes, Script, session_id, task_id};

use super::*;

/// An API of the same process as the workers.
fn api() -> Api {
    let mut api = Api::new(Fakes::new().with_ready_session("s"));
    api.env.claims = Some(Arc::default());
    api
}

/// Accepts a command and returns its job.
async fn accept(api: &Api, command: &str) -> Job {
    let body = json!({"sessionId": session_id("s"), "command": [command]});
    let body = api.post("/v1/shell/execute", body).await.expect(202);
    assert_eq!(body["status"], "queued");
    let id = body["jobId"].as_str().unwrap().parse().unwrap();
    api.fakes.store.job_now(id).unwrap()
}

/// Calls the workers until none is called any more.
async fn work(api: &Api) {
    loop {
        let messages = api.fakes.queue.take_ready(api.now());
        if messages.is_empty() {
            return;
        }
        for message in messages {
            crate::handle(&api.env, message).await.unwrap();
        }
    }
}

fn now(api: &Api, job: &Job) -> Job {
    api.fakes.store.job_now(job.id()).unwrap()
}

#[tokio::test]
async fn a_command_for_an_idle_session_is_accepted_and_claimed_at_once() {
    let api = api();
    let job = accept(&api, "true").await;
    assert_eq!(job.status(), Status::Running);
    assert!(api.fakes.shell.runs().is_empty());
    work(&api).await;
    assert_eq!(now(&api, &job).status(), Status::Completed);
    assert_eq!(now(&api, &job).attempt(), 1);
    assert_eq!(api.fakes.shell.runs()[&job.id()], 1);
}

#[tokio::test]
async fn a_command_behind_another_one_waits_for_its_turn() {
    let api = api();
    api.fakes.shell.script("long", Script::prints("1").lasts(Duration::from_secs(3)));
    let first = accept(&api, "long").await;
    let second = accept(&api, "true").await;
    assert_eq!((first.status(), second.status()), (Status::Running, Status::Queued));
    work(&api).await;
    let (Job::Finished(first), second) = (now(&api, &first), now(&api, &second)) else {
        panic!("the first job is not over")
    };
    assert_eq!(second.status(), Status::Completed);
    assert!(second.started_at() >= Some(first.finished_at()));
}

#[tokio::test]
async fn a_command_beyond_the_limit_of_running_ones_is_accepted_and_queued() {
    let limits = RunLimits { user: 0, session: 0 };
    let api = api().with_policy(|policy| policy.running = Some(limits));
    let job = accept(&api, "true").await;
    assert_eq!(job.status(), Status::Queued);
}

#[tokio::test]
async fn a_claim_that_its_process_has_lost_is_taken_over_when_its_lease_has_run_out() {
    let mut api = api();
    let job = accept(&api, "true").await;
    api.env.claims = Some(Arc::default());
    work(&api).await;
    assert_eq!(now(&api, &job).status(), Status::Running);
    api.fakes.clock.advance(LEASE);
    crate::handle(&api.env, Message::RunJob { session: session_id("s") }).await.unwrap();
    assert_eq!(now(&api, &job).status(), Status::Completed);
    assert_eq!(now(&api, &job).attempt(), 2);
    assert_eq!(api.fakes.shell.runs()[&job.id()], 1);
}

#[tokio::test]
async fn a_worker_that_comes_after_the_lease_leaves_the_job_to_the_one_that_took_it_over() {
    let mut api = api();
    let job = accept(&api, "true").await;
    api.fakes.clock.advance(LEASE);
    let late = api.env.claims.replace(Arc::default());
    let message = Message::RunJob { session: session_id("s") };
    crate::handle(&api.env, message.clone()).await.unwrap();
    let taken_over = now(&api, &job);
    api.env.claims = late;
    crate::handle(&api.env, message).await.unwrap();
    assert_eq!(now(&api, &job), taken_over);
    assert_eq!(api.fakes.shell.runs()[&job.id()], 1);
}

#[tokio::test]
async fn of_concurrent_requests_with_one_key_one_command_is_claimed_and_runs() {
    let api = api();
    let twin = Api { env: api.env.clone(), fakes: api.fakes.clone() };
    api.fakes.gate.interleave();
    // Serial commands exclude each other by the session's turn.
    let body =
        json!({"sessionId": session_id("s"), "command": ["true"], "concurrency": "parallel"});
    let path = "/v1/shell/execute";
    let both = futures::join!(api.post_as("k", path, body.clone()), twin.post_as("k", path, body));
    assert_eq!(both.0.expect(202), both.1.expect(202));
    work(&api).await;
    assert_eq!(api.fakes.shell.runs().values().copied().collect::<Vec<_>>(), [1]);
    assert!(format!("{:?}", api.env.claims).contains("{}"), "{:?}", api.env.claims);
}

#[tokio::test]
async fn the_claims_of_a_session_that_has_ended_are_forgotten() {
    let api = api();
    let job = accept(&api, "true").await;
    api.post("/v1/shell/stop", json!({"sessionId": session_id("s")})).await.expect(202);
    crate::handle(&api.env, Message::RunJob { session: session_id("s") }).await.unwrap();
    assert!(api.fakes.shell.runs().is_empty());
    assert!(format!("{:?}", api.env.claims).contains("{}"), "{:?}", api.env.claims);
    assert_ne!(now(&api, &job).status(), Status::Completed);
}

/// An API that posts commands.
fn posting() -> Api {
    let fakes = Fakes::new().with_ready_session("s");
    fakes.shell.post_requests();
    Api::new(fakes).with_policy(|policy| policy.posts_commands = true)
}

/// Delivers what was posted, and records what the runner reports of the job.
async fn deliver(api: &Api, job: &Job) {
    while api.fakes.shell.requests_under_way() > 0 {
        api.fakes.shell.deliver_request(0, false);
    }
    if let Some(report) = api.fakes.shell.report(&task_id("s"), job.id()) {
        crate::record_report(&api.env, &task_id("s"), report).await.unwrap();
    }
}

#[tokio::test]
async fn a_command_for_an_idle_session_is_posted_by_the_request_and_calls_no_worker() {
    let api = posting();
    let job = accept(&api, "true").await;
    assert_eq!((job.status(), api.messages()), (Status::Running, vec![]));
    assert_eq!(api.fakes.shell.requests_under_way(), 1);
    deliver(&api, &job).await;
    assert_eq!((now(&api, &job).status(), now(&api, &job).attempt()), (Status::Completed, 1));
    assert_eq!(api.messages(), []);
}

#[tokio::test]
async fn a_command_behind_a_posted_one_is_posted_when_that_one_has_ended() {
    let api = posting();
    let first = accept(&api, "true").await;
    let second = accept(&api, "false").await;
    assert_eq!((first.status(), second.status()), (Status::Running, Status::Queued));
    work(&api).await;
    assert_eq!(api.fakes.shell.requests_under_way(), 1);
    deliver(&api, &first).await;
    assert_eq!(now(&api, &second).status(), Status::Running);
    assert_eq!(api.fakes.shell.requests_under_way(), 1);
}

#[tokio::test]
async fn a_command_whose_runner_is_not_connected_is_left_to_a_worker() {
    let api = posting();
    api.fakes.shell.silence(&task_id("s"));
    let Job::Running(job) = accept(&api, "true").await else { panic!("the job is not claimed") };
    assert!(job.is_unreached());
    assert_eq!(api.messages(), [Message::RunJob { session: session_id("s") }]);
    api.fakes.shell.wake(&task_id("s"));
    api.fakes.clock.advance(LEASE);
    work(&api).await;
    let job = Job::from(job);
    deliver(&api, &job).await;
    assert_eq!(now(&api, &job).status(), Status::Completed);
    assert_eq!(api.fakes.shell.runs()[&job.id()], 1);
}

#[tokio::test]
async fn a_request_that_dies_before_it_has_posted_its_command_leaves_it_to_the_next_worker() {
    let api = posting();
    api.fakes
        .gate
        .fail(|_, action| (action == "starting a command").then_some(testkit::FaultPoint::Before));
    let job = accept(&api, "true").await;
    api.fakes.gate.fail(|_, _| None);
    assert_eq!(api.fakes.shell.requests_under_way(), 0);
    api.fakes.clock.advance(LEASE);
    work(&api).await;
    deliver(&api, &job).await;
    assert_eq!(now(&api, &job).status(), Status::Completed);
    assert_eq!(api.fakes.shell.runs()[&job.id()], 1);
}

#[tokio::test]
async fn of_concurrent_requests_with_one_key_one_command_is_posted() {
    let api = posting();
    let twin = Api { env: api.env.clone(), fakes: api.fakes.clone() };
    api.fakes.gate.interleave();
    let body =
        json!({"sessionId": session_id("s"), "command": ["true"], "concurrency": "parallel"});
    let path = "/v1/shell/execute";
    let both = futures::join!(api.post_as("k", path, body.clone()), twin.post_as("k", path, body));
    assert_eq!(both.0.expect(202), both.1.expect(202));
    assert_eq!(api.fakes.shell.requests_under_way(), 1);
}
