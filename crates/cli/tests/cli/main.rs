//! The real binary against a server of canned answers: what is printed where, and exit codes.

mod real;
mod stub;

use std::{fs, io};

use serde_json::{Value, json};
use stub::{Stub, ephemeral};

#[test]
fn no_server_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let ran = ephemeral(&["ls"]).env("EPHEMERAL_DATA_DIR", dir.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&ran.stderr);

    assert_eq!(ran.status.code(), Some(5), "{said}");
    assert!(said.starts_with("error: no server is running in "), "{said}");
    assert!(said.contains("hint: start one with `ephemeral up`"), "{said}");
}

#[test]
fn a_server_that_was_killed_is_not_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = json!({"url": Stub::gone().url(), "pid": 1}).to_string();
    fs::write(dir.path().join("server.json"), running).expect("a file");
    fs::write(dir.path().join("token"), "secret").expect("a file");
    let ran = ephemeral(&["ls"]).env("EPHEMERAL_DATA_DIR", dir.path()).output().expect("it runs");
    let said = String::from_utf8_lossy(&ran.stderr);

    assert_eq!(ran.status.code(), Some(5), "{said}");
    assert!(said.starts_with("error: no server is running in "), "{said}");
}

#[test]
fn a_server_on_this_machine_is_found_with_its_token() {
    let stub = Stub::new([("GET /v1/sessions", 200, json!({"data": []}))]);
    let dir = tempfile::tempdir().expect("a directory");
    let running = json!({"url": stub.url(), "pid": 1}).to_string();
    fs::write(dir.path().join("server.json"), running).expect("a file");
    let ls = || ephemeral(&["ls"]).env("EPHEMERAL_DATA_DIR", dir.path()).output().expect("it runs");

    assert_eq!(ls().status.code(), Some(4));
    fs::write(dir.path().join("token"), "secret\n").expect("a file");
    assert_eq!(ls().status.code(), Some(0));
}

#[test]
fn a_server_that_does_not_answer_is_told() {
    let ran = Stub::gone().run(&["ls"]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("error: no answer from http://127.0.0.1:"), "{}", ran.stderr);
}

#[test]
fn refusals_have_their_own_exit_codes_and_the_servers_words() {
    for (status, code) in [(400, 2), (401, 4), (403, 4), (404, 3), (410, 3), (409, 1), (503, 1)] {
        let problem =
            json!({"title": "No", "status": status, "detail": "that was it", "code": "no"});
        let ran = Stub::new([("GET /v1/sessions/sh_1", status, problem)]).run(&["show", "sh_1"]);
        assert_eq!(ran.code, code, "{status}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: that was it"), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_wrong_field_is_named() {
    let problem = json!({
        "title": "Bad request", "status": 400, "detail": "the request is not valid", "code": "bad",
        "errors": [{"pointer": "/ttlSeconds", "detail": "must be from 1 to 28800"}],
    });
    let ran = Stub::new([("POST /v1/shell/start", 400, problem)]).run(&["start", "--ttl", "99h"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("/ttlSeconds: must be from 1 to 28800"), "{}", ran.stderr);
}

#[test]
fn a_wrong_command_line_is_usage() {
    let ran = Stub::gone().run(&["exec"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("Usage: ephemeral exec"), "{}", ran.stderr);
}

#[test]
fn exec_prints_what_the_command_says_and_exits_with_its_code() {
    let stub = Stub::new([
        ("POST /v1/shell/execute", 202, accepted()),
        ("GET /v1/jobs/job_1/output?stream=stdout&offset=0", 200, output("out\n", 4)),
        ("GET /v1/jobs/job_1/output?stream=stdout&offset=4", 200, output("", 4)),
        ("GET /v1/jobs/job_1/output?stream=stderr&offset=0", 200, output("err\n", 4)),
        ("GET /v1/jobs/job_1/output?stream=stderr&offset=4", 200, output("", 4)),
        ("GET /v1/jobs/job_1?", 200, job(json!({"status": "completed", "exitCode": 7}))),
    ]);
    let ran = stub.run(&["exec", "sh_1", "--", "make", "test"]);

    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (7, "out\n", "err\n"));
    let sent = stub.sent("POST /v1/shell/execute");
    assert_eq!(sent, json!({"sessionId": "sh_1", "command": ["make", "test"]}));
}

#[test]
fn a_stream_is_printed_as_it_comes_and_ends_with_the_job() {
    let piece = |stream: &str, text: &str, encoding: &str| json!({"stream": stream, "offset": 0, "text": text, "encoding": encoding, "nextOffset": 3});
    let end = job(json!({"status": "completed", "signal": 9}));
    let stream = format!(
        ": \n\nid: 3.0\nevent: output\ndata: {}\n\nid: 3.3\nevent: output\ndata: {}\n\n\
         id: 3.3.end\nevent: end\ndata: {end}\n\n",
        piece("stdout", "/w8A", "base64"),
        piece("stderr", "no\n", "utf-8"),
    );
    let stub = Stub::new([
        ("POST /v1/shell/execute", 202, accepted()),
        ("GET /v1/jobs/job_1/stream", 200, stream.into()),
    ]);
    let ran = stub.command(&["exec", "sh_1", "cat /tmp/x"]).output().expect("it runs");

    assert_eq!(ran.status.code(), Some(137));
    assert_eq!(ran.stdout, [0xff, 0x0f, 0x00]);
    assert_eq!(ran.stderr, b"no\n");
}

#[test]
fn run_leaves_its_shell_to_end_with_its_command() {
    let stub = Stub::new([
        ("POST /v1/shell/start", 202, accepted()),
        ("POST /v1/shell/execute", 202, accepted()),
        ("POST /v1/shell/stop", 202, accepted()),
        ("GET /v1/jobs/job_1/output", 200, output("", 0)),
        ("GET /v1/jobs/job_1?", 200, job(json!({"status": "completed", "exitCode": 0}))),
    ]);
    let ran = stub.run(&["run", "--env", "A=b", "--timeout", "1m", "--", "make"]);

    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(stub.sent("POST /v1/shell/start"), json!({"env": {"A": "b"}}));
    let execute = json!({"sessionId": "sh_1", "command": "make", "timeoutSeconds": 60});
    assert_eq!(stub.sent("POST /v1/shell/execute"), execute);
    // First it is told to end by itself, in case we are killed while we wait.
    assert_eq!(stub.sent("POST /v1/shell/stop"), json!({"sessionId": "sh_1", "drain": true}));
}

#[test]
fn run_stops_its_shell_when_the_command_is_refused() {
    let problem = json!({"title": "Bad request", "detail": "no such user", "code": "bad"});
    let stub = Stub::new([
        ("POST /v1/shell/start", 202, accepted()),
        ("POST /v1/shell/execute", 400, problem),
        ("POST /v1/shell/stop", 202, accepted()),
    ]);
    let ran = stub.run(&["run", "--user", "root", "true"]);

    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_eq!(stub.sent("POST /v1/shell/stop")["sessionId"], "sh_1");
}

#[test]
fn one_argument_is_a_line_for_the_shell() {
    let stub = Stub::new([("POST /v1/shell/execute", 202, accepted())]);
    let ran = stub.run(&["exec", "--detach", "sh_1", "a | b"]);

    assert_eq!((ran.code, ran.stdout.as_str()), (0, "job_1\n"));
    assert_eq!(stub.sent("POST /v1/shell/execute")["command"], "a | b");
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let stub = Stub::new([
        ("POST /v1/shell/execute", 202, accepted()),
        ("GET /v1/jobs/job_1?", 200, job(json!({"status": "timed_out", "signal": 15}))),
    ]);
    let ran = stub.run(&["exec", "--json", "sh_1", "sleep 9"]);

    assert_eq!((ran.code, ran.stderr.as_str()), (124, ""));
    let printed: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(printed["status"], "timed_out");
}

#[test]
fn a_reader_that_goes_away_hears_no_complaint() {
    let stub = Stub::new([("GET /v1/sessions", 200, json!({"data": [session("sh_1", "ready")]}))]);
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let ran = stub.command(&["ls"]).stdout(writer).output().expect("it runs");
    assert_eq!((ran.status.code(), ran.stderr.as_slice()), (Some(1), b"".as_slice()));
}

#[test]
fn a_platform_failure_is_told_apart() {
    let failed = json!({"status": "failed", "error": {"code": "internal", "message": "broken"}});
    let stub = Stub::new([
        ("POST /v1/shell/execute", 202, accepted()),
        ("GET /v1/jobs/job_1/output", 200, output("", 0)),
        ("GET /v1/jobs/job_1?", 200, job(failed)),
    ]);
    let ran = stub.run(&["exec", "sh_1", "true"]);

    assert_eq!(ran.code, 125);
    assert_eq!(ran.stderr, "ephemeral: failed: broken (internal)\n");
}

#[test]
fn a_list_follows_its_cursor_and_is_quiet_when_empty() {
    let session = |id: &str, status: &str| json!({"sessionId": id, "status": status, "createdAt": "2026-01-31T12:00:00.000Z"});
    let one = json!({"data": [session("sh_1", "ready")], "nextCursor": "c1"});
    let two = json!({"data": [session("sh_2", "stopped"), session("sh_3", "ready")]});
    let stub = Stub::new([
        ("GET /v1/sessions?limit=100&cursor=c1", 200, two),
        ("GET /v1/sessions?limit=100", 200, one),
    ]);
    let listed: Vec<Value> = stub
        .run(&["ls", "--json"])
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let ids: Vec<_> = listed.iter().map(|session| session["sessionId"].as_str()).collect();
    assert_eq!(ids, [Some("sh_1"), Some("sh_3")]);

    let ran = Stub::new([("GET /v1/sessions", 200, json!({"data": []}))]).run(&["ls"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
}

fn session(id: &str, status: &str) -> Value {
    json!({"sessionId": id, "status": status, "createdAt": "2026-01-31T12:00:00.000Z"})
}

fn accepted() -> Value {
    json!({"jobId": "job_1", "sessionId": "sh_1", "type": "execute", "status": "queued"})
}

fn output(text: &str, next: u64) -> Value {
    json!({"text": text, "encoding": "utf-8", "bytes": next, "truncated": false, "nextOffset": next})
}

fn job(mut fields: Value) -> Value {
    fields["jobId"] = "job_1".into();
    fields["sessionId"] = "sh_1".into();
    fields["type"] = "execute".into();
    fields["createdAt"] = "2026-01-31T12:00:00.000Z".into();
    fields
}
