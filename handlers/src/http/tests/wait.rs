//! `waitSeconds` of start and execute.

use domain::{
    job::{Exit, Job, Outcome},
    ports::{Expect, Versioned, Write},
};
use serde_json::json;
use testkit::session_id;

use super::*;

const EXECUTE: &str = "/v1/shell/execute?waitSeconds=5";

fn command() -> Value {
    json!({"sessionId": session_id("s"), "command": "true"})
}

/// Ends the only queued command, as its worker would.
fn end_command(fakes: &Fakes) {
    let jobs = fakes.store.all_jobs();
    let mut commands = jobs.into_iter().filter(|job| job.value.command().is_some());
    let Versioned { value: Job::Queued(job), version } = commands.next().unwrap() else {
        panic!("the command is not queued")
    };
    let outcome = Outcome::Completed { exit: Some(Exit::Code(3)), failure: None };
    let job = job.claim("w", fakes.now()).end(outcome, None, fakes.now());
    fakes.store.apply(&[Write::Job(Box::new(job.into()), Expect::At(version))]).unwrap();
}

fn api_whose_job_ends() -> Api {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let fakes = api.fakes.clone();
    api.fakes.changes.meanwhile(move || end_command(&fakes));
    api
}

#[tokio::test]
async fn an_execute_that_waits_gets_the_finished_job() {
    let api = api_whose_job_ends();
    let answer = api.post(EXECUTE, command()).await;
    assert_eq!((answer.header("location"), answer.header("retry-after")), (None, None));
    let job = answer.expect(200);
    assert_eq!((&job["status"], &job["exitCode"]), (&json!("completed"), &json!(3)));
    assert_eq!(job["stdout"]["text"], "");
    assert_eq!(api.get(&format!("/v1/jobs/{}", job["jobId"].as_str().unwrap())).await.body, job);
}

#[tokio::test]
async fn a_job_that_does_not_end_in_time_is_accepted_as_ever() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let began = api.now();
    let answer = api.post(EXECUTE, command()).await;
    assert!(answer.header("location").is_some());
    assert_eq!(answer.expect(202)["status"], "queued");
    assert_eq!(api.now().since(began).as_secs(), 5);
}

#[tokio::test]
async fn without_a_wait_the_response_does_not_depend_on_the_job() {
    let api = api_whose_job_ends();
    for path in ["/v1/shell/execute", "/v1/shell/execute?waitSeconds=0"] {
        api.post(path, command()).await.expect(202);
    }
}

#[tokio::test]
async fn a_repeated_request_that_waits_gets_the_current_state() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let first = api.post_as("k", "/v1/shell/execute", command()).await.expect(202);
    end_command(&api.fakes);
    let replayed = api.post_as("k", "/v1/shell/execute", command()).await;
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(replayed.expect(202), first);
    let waited = api.post_as("k", EXECUTE, command()).await;
    assert_eq!(waited.header("idempotent-replayed"), Some("true"));
    let job = waited.expect(200);
    assert_eq!((&job["jobId"], &job["exitCode"]), (&first["jobId"], &json!(3)));
    let jobs = api.fakes.store.all_jobs();
    assert_eq!(jobs.iter().filter(|job| job.value.command().is_some()).count(), 1);
}

#[tokio::test]
async fn a_start_with_a_command_waits_for_the_command() {
    let api = Api::new(Fakes::new());
    let fakes = api.fakes.clone();
    api.fakes.changes.meanwhile(move || end_command(&fakes));
    let body = json!({"command": "true", "webhook": {"url": "https://example.com/"}});
    let job = api.post("/v1/shell/start?waitSeconds=5", body).await.expect(200);
    assert_eq!((&job["type"], &job["exitCode"]), (&json!("execute"), &json!(3)));
    assert!(job["webhookSecret"].as_str().unwrap().starts_with("whsec_"));
}

#[tokio::test]
async fn a_start_that_waits_gets_the_finished_start_job() {
    let api = Api::new(Fakes::new());
    let fakes = api.fakes.clone();
    api.fakes.changes.meanwhile(move || {
        let Versioned { value: Job::Queued(job), version } = fakes.store.all_jobs().remove(0)
        else {
            panic!("the start is not queued")
        };
        let job = job.end(Outcome::Completed { exit: None, failure: None }, fakes.now());
        fakes.store.apply(&[Write::Job(Box::new(job.into()), Expect::At(version))]).unwrap();
    });
    let job = api.post("/v1/shell/start?waitSeconds=2", json!({})).await.expect(200);
    assert_eq!((&job["type"], &job["status"]), (&json!("start"), &json!("completed")));
    assert!(job["sessionId"].as_str().unwrap().starts_with("sh_"));
}

#[tokio::test]
async fn a_wrong_wait_is_refused() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    for query in ["waitSeconds=26", "waitSeconds=-1", "waitSeconds=x", "wait=1"] {
        let path = format!("/v1/shell/execute?{query}");
        api.post(&path, command()).await.problem(400, "invalid_request");
    }
    assert_eq!(api.messages(), []);
}

#[tokio::test]
async fn a_refused_request_does_not_wait() {
    let api = Api::new(Fakes::new());
    let began = api.now();
    api.post(EXECUTE, command()).await.problem(404, "not_found");
    assert_eq!(api.now(), began);
}
