//! Terminals: their requests, and how they are opened.

use std::time::Duration;

use domain::{
    command::{Command, Concurrency, Keep, Program, Terminal},
    message::Message,
    ports::Store,
};
use serde_json::json;
use testkit::{job_id, session_id};

use super::*;

const EXECUTE: &str = "/v1/shell/execute";

fn terminal_path(session: &str) -> String {
    format!("/v1/sessions/{}/terminal", session_id(session))
}

/// The command of an accepted job.
async fn command(api: &Api, body: &Value) -> Command {
    let id = body["jobId"].as_str().unwrap().parse().unwrap();
    api.fakes.store.command(id).await.unwrap().expect("the job is not over")
}

/// A session with a running job on a terminal that can be opened.
async fn with_open_terminal() -> Api {
    let fakes = Fakes::new().with_ready_session("s").with_running_terminal("s", "j");
    let api = Api::new(fakes);
    crate::handle(&api.env, Message::OpenTerminal { job: job_id("j") }).await.unwrap();
    api
}

#[tokio::test]
async fn a_terminal_without_a_command_runs_the_login_shell() {
    for (path, body) in [
        (terminal_path("s"), json!({"cols": 100})),
        (
            EXECUTE.to_owned(),
            json!({"sessionId": session_id("s"), "interactive": true, "cols": 100}),
        ),
    ] {
        let api = Api::new(Fakes::new().with_ready_session("s"));
        let body = api.post(&path, body).await.expect(202);
        assert_eq!((&body["type"], &body["status"]), (&json!("terminal"), &json!("queued")));
        assert_eq!(api.messages(), [Message::RunJob { session: session_id("s") }]);
        let command = command(&api, &body).await;
        assert_eq!(*command.program.expose(), Program::LoginShell);
        assert_eq!(
            command.terminal,
            Some(Terminal { cols: 100, rows: 24, idle: None, record: false })
        );
        assert_eq!((command.concurrency, command.keep), (Concurrency::Parallel, Keep::Tail));
        assert_eq!(command.timeout, Policy::MAX_TTL);
    }
}

#[tokio::test]
async fn a_terminal_that_nobody_uses_ends_after_the_idle_timeout_of_its_session() {
    let idle = Some(Duration::from_mins(5));
    let fakes = Fakes::new().with_spec(|spec| spec.idle_timeout = idle).with_ready_session("s");
    let api = Api::new(fakes);
    let seconds = async |body: Value| {
        let body = api.post(&terminal_path("s"), body).await.expect(202);
        command(&api, &body).await.terminal.unwrap().idle.map(|idle| idle.as_secs())
    };
    assert_eq!(seconds(json!({})).await, Some(300));
    assert_eq!(seconds(json!({"idleSeconds": 7})).await, Some(7));
}

#[tokio::test]
async fn fields_of_pipes_and_of_terminals_exclude_each_other() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    let on_terminal = json!({"sessionId": session_id("s"), "interactive": true, "stdin": "x",
                             "keep": "head", "maxOutputBytes": 1, "concurrency": "serial",
                             "background": true, "merge": true, "state": "shared",
                             "shellName": "main"});
    let on_pipes = json!({"sessionId": session_id("s"), "command": "id", "cols": 1, "rows": 1,
                          "idleSeconds": 1, "record": true});
    for (body, count) in [(on_terminal, 8), (on_pipes, 4)] {
        let answer = api.post(EXECUTE, body).await;
        answer.problem(400, "invalid_request");
        assert_eq!(answer.body["errors"].as_array().unwrap().len(), count, "{}", answer.body);
    }
    let body = json!({"sessionId": session_id("s")});
    api.post(EXECUTE, body).await.problem(400, "invalid_request");
    api.post(&terminal_path("s"), json!({"cols": 1001})).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_terminal_can_be_opened_for_a_minute_by_who_reads_its_job() {
    let api = with_open_terminal().await;
    let path = format!("/v1/jobs/{}", job_id("j"));
    let body = api.get(&path).await.expect(200);
    let terminal = &body["terminal"];
    let given = ["sessionId", "streamUrl", "tokenValue", "expiresAt"];
    assert!(given.iter().all(|name| terminal[name].is_string()), "{terminal}");
    let listed = api.get(&format!("/v1/sessions/{}/jobs", session_id("s"))).await;
    assert!(!listed.body.to_string().contains("tokenValue"), "lists have no tokens");
    // A wait ends when the terminal can be opened: the clock of the fakes would advance otherwise.
    let before = api.now();
    api.get(&format!("{path}?waitSeconds=25")).await.expect(200);
    assert_eq!(api.now(), before);
    api.fakes.clock.advance(Duration::from_mins(1));
    assert!(api.get(&path).await.body["terminal"].is_null());
}

#[tokio::test]
async fn a_running_terminal_can_be_opened_again() {
    let api = with_open_terminal().await;
    let path = format!("/v1/jobs/{}/terminal", job_id("j"));
    api.post(&path, json!({})).await.expect(202);
    assert_eq!(api.messages(), [Message::OpenTerminal { job: job_id("j") }]);
}

#[tokio::test]
async fn a_job_without_a_terminal_can_not_be_opened() {
    let fakes = Fakes::new().with_ready_session("s").with_running_job("s", "j", "sleep 1");
    let path = format!("/v1/jobs/{}/terminal", job_id("j"));
    Api::new(fakes).post(&path, json!({})).await.problem(409, "not_a_terminal");
}

#[tokio::test]
async fn an_ended_session_takes_no_terminal() {
    let api = Api::new(Fakes::new().with_ended_session("s"));
    api.post(&terminal_path("s"), json!({})).await.problem(410, "session_ended");
}

#[tokio::test]
async fn a_recording_is_read_by_its_owner_line_by_line_and_is_no_output() {
    let fakes = Fakes::new().with_ready_session("s").with_running_terminal("s", "j");
    let api = Api::new(fakes);
    let path = jobs::path("j");
    let recording = format!("{path}/recording");
    api.get(&recording).await.problem(404, "no_recording");
    let lines = "{\"version\":2}\n[0.1,\"o\",\"hi\"]\n";
    jobs::write_output(&api.fakes, b"hi", format!("{lines}[0.2,\"o\",").as_bytes());
    let answer = api.get(&recording).await;
    assert_eq!(answer.header("content-type"), Some("application/x-asciicast"));
    assert_eq!(answer.expect(200), lines, "the last line is not stored as a whole");
    let stranger = by(&bob(), Request::get(&recording));
    api.send(&stranger, Body::empty()).await.problem(404, "not_found");

    let job = api.get(&path).await.expect(200);
    assert_eq!(job["recording"]["bytes"], lines.len() + 9, "{job}");
    assert_eq!((&job["stdout"]["text"], &job["stderr"]["text"]), (&json!("hi"), &json!("")));
    assert_eq!(job["stderr"]["bytes"], 0);
    let stderr = api.get(&format!("{path}/output?stream=stderr")).await.expect(200);
    assert_eq!((&stderr["text"], &stderr["bytes"]), (&json!(""), &json!(0)));
}

#[tokio::test]
async fn only_a_terminal_that_was_to_be_recorded_has_a_recording() {
    let api = Api::new(Fakes::new().with_ready_session("s"));
    for (record, has) in [(true, true), (false, false)] {
        let accepted = api.post(&terminal_path("s"), json!({"record": record})).await.expect(202);
        let job = api.get(&format!("/v1/jobs/{}", accepted["jobId"].as_str().unwrap())).await;
        assert_eq!(job.body["recording"].is_object(), has);
    }
    let fakes = jobs::with_output(b"out", b"err");
    let path = format!("{}/recording", jobs::path("j"));
    Api::new(fakes).get(&path).await.problem(404, "no_recording");
}
