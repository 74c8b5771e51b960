use std::time::Duration;

use domain::{
    Secret,
    job::{Exit, Failure, Job, Outcome, StreamStats, Usage},
    message::Message,
    ports::{Expect, Stream, Write},
};
use serde_json::json;
use testkit::{job_id, session_id};

use super::*;

pub(super) fn path(job: &str) -> String {
    format!("/v1/jobs/{}", job_id(job))
}

/// A running job that wrote this.
pub(super) fn with_output(stdout: &[u8], stderr: &[u8]) -> Fakes {
    let fakes = Fakes::new().with_ready_session("s").with_running_job("s", "j", "true");
    write_output(&fakes, stdout, stderr);
    fakes
}

pub(super) fn write_output(fakes: &Fakes, stdout: &[u8], stderr: &[u8]) {
    let Job::Running(running) = fakes.job("j") else { panic!("the job runs") };
    let (out, err) = running.output();
    let size = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap();
    let (new_out, new_err) = (out.plus(size(stdout)), err.plus(size(stderr)));
    let mut writes = vec![];
    for (stream, bytes, at) in [(Stream::Stdout, stdout, out), (Stream::Stderr, stderr, err)] {
        if !bytes.is_empty() {
            let bytes = Secret::new(bytes.to_vec());
            writes.push(Write::Output { job: job_id("j"), stream, offset: at.stored, bytes });
        }
    }
    put(fakes, running.progress(new_out, new_err, fakes.now()), writes);
}

pub(super) fn end(fakes: &Fakes, outcome: Outcome) {
    let Job::Running(running) = fakes.job("j") else { panic!("the job runs") };
    let usage = Usage { wall_ms: 3, cpu_ms: 2, max_rss_bytes: 1, ..Usage::default() };
    put(fakes, running.end(outcome, Some(usage), fakes.now()), Vec::new());
}

pub(super) fn put(fakes: &Fakes, job: impl Into<Job>, mut writes: Vec<Write>) {
    let job = Box::new(job.into());
    let version = fakes.store.job_version(job.id()).unwrap();
    writes.push(Write::Job(job, Expect::At(version)));
    fakes.store.apply(&writes).unwrap();
}

pub(super) fn exited(code: i32) -> Outcome {
    Outcome::Completed { exit: Some(Exit::Code(code)), failure: None }
}

#[tokio::test]
async fn a_finished_job_shows_its_outcome() {
    let fakes = with_output(b"out", b"\xff\x00");
    end(&fakes, exited(3));
    let job = Api::new(fakes).get(&path("j")).await.expect(200);
    assert_eq!(
        job["stdout"],
        json!({"text": "out", "encoding": "utf-8", "nextOffset": 3,
        "bytes": 3, "keptBytes": 3, "truncated": false})
    );
    assert_eq!(job["stderr"]["text"], "/wA=");
    assert_eq!(job["stderr"]["encoding"], "base64");
    assert_eq!((&job["status"], &job["exitCode"]), (&json!("completed"), &json!(3)));
    assert_eq!(job["usage"], json!({"wallMs": 3, "cpuMs": 2, "maxRssBytes": 1}));
    assert!(job["signal"].is_null() && job["error"].is_null());
}

#[tokio::test]
async fn every_outcome_has_its_status() {
    let failure = || Failure::new("command_not_found", "there is no such program");
    let signal = Some(Exit::Signal(9));
    for (outcome, status) in [
        (Outcome::Completed { exit: signal, failure: None }, "completed"),
        (Outcome::Failed { failure: failure() }, "failed"),
        (Outcome::TimedOut { exit: signal }, "timed_out"),
        (Outcome::Cancelled { exit: signal, failure: None }, "cancelled"),
        (Outcome::Lost { failure: failure() }, "lost"),
    ] {
        let fakes = with_output(b"", b"");
        end(&fakes, outcome.clone());
        let event = crate::view::job_event(&fakes.job("j"));
        let job = Api::new(fakes).get(&path("j")).await.expect(200);
        assert_eq!(job["status"], status);
        assert_eq!(job["signal"].as_i64(), outcome.exit().map(|_| 9));
        assert_eq!(job["error"]["code"].as_str(), outcome.failure().map(|f| f.code.as_str()));
        assert!(job["exitCode"].is_null());
        assert!(event["stdout"]["text"].is_null(), "webhooks carry no output");
        assert_eq!(event["stdout"]["bytes"], 0);
    }
}

#[tokio::test]
async fn a_job_does_not_show_its_command() {
    let api = Api::new(Fakes::new().with_ready_session("s").with_queued_job("s", "j", "hidden"));
    let job = api.get(&path("j")).await.expect(200);
    assert!(!job.to_string().contains("hidden"));
}

#[tokio::test]
async fn unknown_malformed_and_others_jobs_do_not_exist() {
    let api = Api::new(Fakes::new().with_ready_session("s").with_running_job("s", "j", "true"));
    for tail in ["", "/output", "/stream"] {
        api.get(&format!("{}{tail}", path("other"))).await.problem(404, "not_found");
        api.get(&format!("/v1/jobs/job_1{tail}")).await.problem(404, "not_found");
        api.get(&format!("/v1/jobs/%ff{tail}")).await.problem(404, "not_found");
        let request = by(&bob(), Request::get(format!("{}{tail}", path("j"))));
        api.send(&request, Body::empty()).await.problem(404, "not_found");
    }
    for (tail, body) in [("cancel", json!({})), ("signal", json!({"signal": 15}))] {
        let of = |job: &str| format!("{}/{tail}", path(job));
        api.post(&of("other"), body.clone()).await.problem(404, "not_found");
        let request = Request::post(of("j")).header("content-type", "application/json");
        let answer = api.send(&by(&bob(), request), body.to_string()).await;
        answer.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_the_job_is_final() {
    let api = Api::new(with_output(b"", b""));
    let (begin, fakes) = (api.now(), api.fakes.clone());
    api.fakes.changes.meanwhile({
        let fakes = fakes.clone();
        move || write_output(&fakes, b"1", b"")
    });
    api.fakes.changes.meanwhile(move || end(&fakes, exited(0)));
    let job = api.get(&format!("{}?waitSeconds=25", path("j"))).await.expect(200);
    assert_eq!((&job["status"], &job["stdout"]["text"]), (&json!("completed"), &json!("1")));
    assert_eq!(api.now(), begin);
}

#[tokio::test]
async fn a_long_poll_answers_when_its_time_is_over() {
    let api = Api::new(with_output(b"", b""));
    let begin = api.now();
    let job = api.get(&format!("{}?waitSeconds=7", path("j"))).await.expect(200);
    assert_eq!(job["status"], "running");
    assert_eq!(api.now().since(begin), Duration::from_secs(7));
    api.get(&path("j")).await.expect(200);
    assert_eq!(api.now().since(begin), Duration::from_secs(7));
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_hold_a_long_poll() {
    let api = Api::new(with_output(b"", b""));
    let clock = api.fakes.clock.clone();
    api.fakes.changes.meanwhile(move || clock.set(clock.now() - Duration::from_hours(9)));
    let job = api.get(&format!("{}?waitSeconds=25", path("j"))).await.expect(200);
    assert_eq!(job["status"], "running");
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let api = Api::new(with_output(b"", b""));
    for query in [
        "waitSeconds=26",
        "waitSeconds=-1",
        "waitSeconds=%2B1",
        "waitSeconds=1&waitSeconds=2",
        "wait=1",
    ] {
        let answer = api.get(&format!("{}?{query}", path("j"))).await;
        let errors = &answer.problem(400, "invalid_request")["errors"];
        assert_eq!(errors[0]["parameter"], query.split('=').next().unwrap(), "{query}");
    }
    let answer = api.get(&format!("{}/output?stream=stdin&offset=x&limit=0", path("j"))).await;
    assert_eq!(answer.problem(400, "invalid_request")["errors"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn output_is_read_in_parts() {
    let text = "naïve café ☕ 🎉".repeat(3);
    let fakes = with_output(text.as_bytes(), b"err");
    let api = Api::new(fakes.clone());
    let mut seen = String::new();
    let mut offset = 0;
    for _ in 0..100 {
        let part =
            api.get(&format!("{}/output?offset={offset}&limit=7", path("j"))).await.expect(200);
        assert_eq!((&part["encoding"], &part["complete"]), (&json!("utf-8"), &json!(false)));
        seen.push_str(part["text"].as_str().unwrap());
        offset = part["nextOffset"].as_u64().unwrap();
    }
    assert_eq!(seen, text);
    end(&fakes, exited(0));
    let last = api.get(&format!("{}/output?offset={offset}", path("j"))).await.expect(200);
    assert_eq!((&last["text"], &last["complete"]), (&json!(""), &json!(true)));
    let stderr = api.get(&format!("{}/output?stream=stderr", path("j"))).await.expect(200);
    assert_eq!((&stderr["text"], &stderr["complete"]), (&json!("err"), &json!(true)));
    let beyond = api.get(&format!("{}/output?offset=4000000000", path("j"))).await.expect(200);
    assert_eq!(beyond["nextOffset"], 4_000_000_000_u64);
}

#[tokio::test]
async fn a_job_comes_with_the_beginning_of_a_long_output() {
    let fakes = with_output(&[b'x'; 70_000], b"");
    let Job::Running(running) = fakes.job("j") else { panic!("the job runs") };
    let written = StreamStats { stored: 70_000, written: 90_000, gap: None };
    put(&fakes, running.progress(written, StreamStats::NOTHING, fakes.now()), Vec::new());
    let job = Api::new(fakes).get(&path("j")).await.expect(200);
    let stdout = &job["stdout"];
    assert_eq!(stdout["text"].as_str().unwrap().len(), 65_536);
    assert_eq!(stdout["nextOffset"], 65_536);
    assert_eq!((&stdout["bytes"], &stdout["keptBytes"]), (&json!(90_000), &json!(70_000)));
    assert_eq!(stdout["truncated"], true);
}

#[tokio::test]
async fn a_queued_command_is_cancelled_at_once() {
    let api = Api::new(Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true"));
    let cancel = format!("{}/cancel", path("j"));
    let job = api.post(&cancel, json!({})).await.expect(202);
    assert_eq!(job["status"], "cancelled");
    assert_eq!(api.messages(), [Message::RunJob { session: session_id("s") }]);
    let again = api.post(&cancel, json!({})).await.expect(202);
    assert_eq!(again, job);
}

#[tokio::test]
async fn cancelling_a_running_command_notifies_its_worker() {
    let api = Api::new(with_output(b"", b""));
    let request = as_ann(Request::post(format!("{}/cancel", path("j"))));
    let job = api.send(&request, Body::empty()).await.expect(202);
    assert_eq!(job["status"], "running");
    let Job::Running(running) = api.fakes.job("j") else { panic!("the job runs") };
    assert!(running.cancel_requested());
    assert_eq!(api.messages(), [Message::CancelJob { job: job_id("j") }]);
}

#[tokio::test]
async fn a_finished_job_can_not_be_cancelled_or_signalled() {
    let fakes = with_output(b"", b"");
    end(&fakes, exited(0));
    let api = Api::new(fakes);
    api.post(&format!("{}/cancel", path("j")), json!({})).await.problem(409, "job_finished");
    let signal = api.post(&format!("{}/signal", path("j")), json!({"signal": 1})).await;
    signal.problem(409, "job_not_running");
    assert_eq!(api.messages(), []);
}

#[tokio::test]
async fn start_and_stop_jobs_have_no_process() {
    let api = Api::new(Fakes::new().with_queued_session("s"));
    let start = format!("/v1/jobs/{}", api.fakes.session("s").start_job());
    api.post(&format!("{start}/cancel"), json!({})).await.problem(409, "not_a_command");
    let signal = json!({"signal": "INT"});
    api.post(&format!("{start}/signal"), signal).await.problem(409, "not_a_command");
}

#[tokio::test]
async fn a_signal_is_sent_by_name_or_number() {
    let path = format!("{}/signal", path("j"));
    for (given, number) in
        [(json!("TERM"), 15), (json!("SIGKILL"), 9), (json!("sigusr1"), 10), (json!(2), 2)]
    {
        let api = Api::new(with_output(b"", b""));
        api.post(&path, json!({"signal": given})).await.expect(202);
        let signal = Message::SignalJob { job: job_id("j"), signal: number };
        assert_eq!(api.messages(), [signal]);
    }
    let api = Api::new(with_output(b"", b""));
    for wrong in [json!("SIG"), json!("NONE"), json!(0), json!(32), json!(-9), json!(null)] {
        api.post(&path, json!({"signal": wrong})).await.refused_at(&["/signal"]);
    }
    api.post(&path, json!({})).await.refused_at(&["/signal"]);
}

#[tokio::test]
async fn a_signal_that_can_not_be_sent_is_not_accepted() {
    let api = Api::new(with_output(b"", b""));
    api.fakes
        .gate
        .fail(|_, action| (action == "sending a message").then_some(testkit::FaultPoint::Before));
    let answer = api.post(&format!("{}/signal", path("j")), json!({"signal": 15})).await;
    answer.problem(503, "unavailable");
}

#[tokio::test]
async fn a_queued_serial_job_names_the_job_that_it_waits_for() {
    let fakes = Fakes::new()
        .with_ready_session("s")
        .with_running_job("s", "a", "true")
        .with_queued_job("s", "b", "true")
        .with_queued_job("s", "c", "true");
    let api = Api::new(fakes);
    let running = job_id("a").to_string();
    for waiting in ["b", "c"] {
        assert_eq!(api.get(&path(waiting)).await.expect(200)["waitsFor"], running.as_str());
    }
    assert!(api.get(&path("a")).await.expect(200).get("waitsFor").is_none());
    let list = api.get(&format!("/v1/sessions/{}/jobs", session_id("s"))).await.expect(200);
    let named = |job: &&serde_json::Value| job.get("waitsFor") == Some(&json!(running));
    assert_eq!(list["data"].as_array().unwrap().iter().filter(named).count(), 2, "{list}");
}

#[tokio::test]
async fn the_first_queued_job_waits_for_no_other_job() {
    let api = Api::new(Fakes::new().with_ready_session("s").with_queued_job("s", "j", "true"));
    assert!(api.get(&path("j")).await.expect(200).get("waitsFor").is_none());
}
