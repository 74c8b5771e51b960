//! The real binary against a server with scripted responses: output, messages and exit codes.

mod attach;
mod copies;
mod cut_output;
mod cuttable_proxy;
mod fake_server;
mod mcp;
mod output_errors;
mod proxy;
mod pseudo_terminal;
mod real;
mod restart;
mod scripted_server;
mod server;
mod signals;

use std::{fs, io};

use scripted_server::{ScriptedServer, ephemeral};
use serde_json::{Value, json};

#[test]
fn without_a_server_the_error_says_how_to_start_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = ephemeral(&["ls"]).env("EPHEMERAL_DATA_DIR", dir.path()).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&run.stderr);

    assert_eq!(run.status.code(), Some(5), "{stderr}");
    assert!(stderr.starts_with("error: no server is running in "), "{stderr}");
    assert!(stderr.contains("hint: start one with `ephemeral up`"), "{stderr}");
}

#[test]
fn a_server_that_was_killed_is_not_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = json!({"url": ScriptedServer::gone().url(), "pid": 1}).to_string();
    fs::write(dir.path().join("server.json"), running).expect("a file");
    fs::write(dir.path().join("token"), "secret").expect("a file");
    let run = ephemeral(&["ls"]).env("EPHEMERAL_DATA_DIR", dir.path()).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&run.stderr);

    assert_eq!(run.status.code(), Some(5), "{stderr}");
    assert!(stderr.starts_with("error: no server is running in "), "{stderr}");
}

#[test]
fn a_server_on_this_machine_is_found_with_its_token() {
    let server = ScriptedServer::new([("GET /v1/sessions", 200, json!({"data": []}))]);
    let dir = tempfile::tempdir().expect("a directory");
    let running = json!({"url": server.url(), "pid": 1}).to_string();
    fs::write(dir.path().join("server.json"), running).expect("a file");
    let ls = || ephemeral(&["ls"]).env("EPHEMERAL_DATA_DIR", dir.path()).output().expect("it runs");

    assert_eq!(ls().status.code(), Some(4));
    fs::write(dir.path().join("token"), "secret\n").expect("a file");
    assert_eq!(ls().status.code(), Some(0));
}

#[test]
fn the_token_of_the_data_directory_goes_to_its_own_server_only() {
    let server = ScriptedServer::new([("GET /v1/sessions", 200, json!({"data": []}))]);
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("token"), "secret\n").expect("a file");
    let ls = |url: &str| {
        let mut command = ephemeral(&["ls", "--url", url]);
        command.env("EPHEMERAL_DATA_DIR", dir.path()).output().expect("it runs")
    };
    assert_eq!(ls(&server.url()).status.code(), Some(0), "it is on this machine");
    // No such address responds, so that a token can't get there.
    let elsewhere = "http://192.0.2.1:8787";
    let refused = ls(elsewhere);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{stderr}");
    assert!(stderr.starts_with("error: no token for http://192.0.2.1:8787"), "{stderr}");
    assert!(stderr.contains("hint: set EPHEMERAL_TOKEN"), "{stderr}");
}

#[test]
fn a_server_that_does_not_respond_is_named_in_the_error() {
    let run = ScriptedServer::gone().run(&["ls"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.starts_with("error: no response from http://127.0.0.1:"), "{}", run.stderr);
}

#[test]
fn error_responses_have_their_own_exit_codes_and_print_the_detail() {
    for (status, code) in [(400, 2), (401, 4), (403, 4), (404, 3), (410, 3), (409, 1), (503, 1)] {
        let problem =
            json!({"title": "No", "status": status, "detail": "that was it", "code": "no"});
        let run = ScriptedServer::new([("GET /v1/sessions/sh_1", status, problem)])
            .run(&["show", "sh_1"]);
        assert_eq!(run.code, code, "{status}: {}", run.stderr);
        assert!(run.stderr.starts_with("error: that was it"), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn an_invalid_field_is_named() {
    let problem = json!({
        "title": "Bad request", "status": 400, "detail": "the request is not valid", "code": "bad",
        "errors": [{"pointer": "/ttlSeconds", "detail": "must be from 1 to 28800"}],
    });
    let run = ScriptedServer::new([("POST /v1/shell/start", 400, problem)])
        .run(&["start", "--ttl", "99h"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("/ttlSeconds: must be from 1 to 28800"), "{}", run.stderr);
}

#[test]
fn the_only_invalid_field_is_named_once() {
    let problem = json!({
        "title": "Bad request", "status": 400, "code": "invalid_request",
        "detail": "/ttlSeconds: must be from 1 to 28800",
        "errors": [{"pointer": "/ttlSeconds", "detail": "must be from 1 to 28800"}],
    });
    let run = ScriptedServer::new([("POST /v1/shell/start", 400, problem)])
        .run(&["start", "--ttl", "99h"]);
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (2, "error: /ttlSeconds: must be from 1 to 28800\n")
    );
}

#[test]
fn an_invalid_command_line_is_a_usage_error() {
    let run = ScriptedServer::gone().run(&["exec"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("Usage: ephemeral exec"), "{}", run.stderr);
}

#[test]
fn exec_prints_the_output_of_the_command_and_exits_with_its_code() {
    let server = ScriptedServer::new([
        ("POST /v1/shell/execute", 202, accepted()),
        ("GET /v1/jobs/job_1/output?stream=stdout&offset=0", 200, output("out\n", 4)),
        ("GET /v1/jobs/job_1/output?stream=stdout&offset=4", 200, output("", 4)),
        ("GET /v1/jobs/job_1/output?stream=stderr&offset=0", 200, output("err\n", 4)),
        ("GET /v1/jobs/job_1/output?stream=stderr&offset=4", 200, output("", 4)),
        ("GET /v1/jobs/job_1?", 200, job(json!({"status": "completed", "exitCode": 7}))),
    ]);
    let run = server.run(&["exec", "sh_1", "--", "make", "test"]);

    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (7, "out\n", "err\n"));
    let sent = server.sent("POST /v1/shell/execute");
    assert_eq!(sent, json!({"sessionId": "sh_1", "command": ["make", "test"]}));
}

#[test]
fn a_stream_is_printed_as_it_arrives_and_ends_with_the_job() {
    let chunk = |stream: &str, text: &str, encoding: &str| json!({"stream": stream, "offset": 0, "text": text, "encoding": encoding, "nextOffset": 3});
    let end = job(json!({"status": "completed", "signal": 9}));
    let stream = format!(
        ": \n\nid: 3.0\nevent: output\ndata: {}\n\nid: 3.3\nevent: output\ndata: {}\n\n\
         id: 3.3.end\nevent: end\ndata: {end}\n\n",
        chunk("stdout", "/w8A", "base64"),
        chunk("stderr", "no\n", "utf-8"),
    );
    let server = ScriptedServer::new([
        ("POST /v1/shell/execute", 202, accepted()),
        ("GET /v1/jobs/job_1/stream", 200, stream.into()),
    ]);
    let run = server.command(&["exec", "sh_1", "cat /tmp/x"]).output().expect("it runs");

    assert_eq!(run.status.code(), Some(137));
    assert_eq!(run.stdout, [0xff, 0x0f, 0x00]);
    assert_eq!(run.stderr, b"no\n");
}

#[test]
fn run_asks_its_shell_to_drain_after_its_command() {
    let server = ScriptedServer::new([
        ("POST /v1/shell/start", 202, accepted()),
        ("POST /v1/shell/execute", 202, accepted()),
        ("POST /v1/shell/stop", 202, accepted()),
        ("GET /v1/jobs/job_1/output", 200, output("", 0)),
        ("GET /v1/jobs/job_1?", 200, job(json!({"status": "completed", "exitCode": 0}))),
    ]);
    let run = server.run(&["run", "--env", "A=b", "--timeout", "1m", "--", "make"]);

    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(
        server.sent("POST /v1/shell/start"),
        json!({"env": {"A": "b"}, "idleTimeoutSeconds": 120}),
        "a shell whose client was killed ends by itself"
    );
    let execute = json!({"sessionId": "sh_1", "command": "make", "timeoutSeconds": 60});
    assert_eq!(server.sent("POST /v1/shell/execute"), execute);
    // The first stop drains the session, in case this process is killed while it waits.
    assert_eq!(server.sent("POST /v1/shell/stop"), json!({"sessionId": "sh_1", "drain": true}));
}

#[test]
fn run_stops_its_shell_when_the_command_is_refused() {
    let problem = json!({"title": "Bad request", "detail": "no such user", "code": "bad"});
    let server = ScriptedServer::new([
        ("POST /v1/shell/start", 202, accepted()),
        ("POST /v1/shell/execute", 400, problem),
        ("POST /v1/shell/stop", 202, accepted()),
    ]);
    let run = server.run(&["run", "--user", "root", "true"]);

    assert_eq!(run.code, 2, "{}", run.stderr);
    assert_eq!(server.sent("POST /v1/shell/stop")["sessionId"], "sh_1");
}

#[test]
fn a_single_argument_is_a_shell_command_line() {
    let server = ScriptedServer::new([("POST /v1/shell/execute", 202, accepted())]);
    let run = server.run(&["exec", "--detach", "sh_1", "a | b"]);

    assert_eq!((run.code, run.stdout.as_str()), (0, "job_1\n"));
    assert_eq!(server.sent("POST /v1/shell/execute")["command"], "a | b");
}

#[test]
fn a_command_in_a_shell_with_a_name_is_a_line_and_tells_if_that_shell_has_ended() {
    let ended = json!({"name": "main", "isNew": false, "hasEnded": true});
    let finished = json!({"status": "completed", "exitCode": 3, "shell": ended});
    let server = ScriptedServer::new([
        ("POST /v1/shell/execute", 202, accepted()),
        ("GET /v1/jobs/job_1/output", 200, output("", 0)),
        ("GET /v1/jobs/job_1?", 200, job(finished)),
    ]);
    let run = server.run(&["exec", "--shell-name", "main", "sh_1", "--", "cd", "it's"]);

    assert_eq!((run.code, run.stdout.as_str()), (3, ""));
    let remark = "the shell main ended with this command; the next one starts a new shell";
    assert_eq!(run.stderr, format!("ephemeral: {remark}\n"));
    assert_eq!(
        server.sent("POST /v1/shell/execute"),
        json!({"sessionId": "sh_1", "command": "'cd' 'it'\\''s'", "state": "shared",
               "shellName": "main"})
    );
    for conflict in ["--parallel", "--background", "--env=A=b", "--cwd=/", "--shell=sh"] {
        let run = server.run(&["exec", "--shell-name", "main", conflict, "sh_1", "pwd"]);
        assert_eq!(run.code, 2, "{conflict}: {}", run.stderr);
    }
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let server = ScriptedServer::new([
        ("POST /v1/shell/execute", 202, accepted()),
        ("GET /v1/jobs/job_1?", 200, job(json!({"status": "timed_out", "signal": 15}))),
    ]);
    let run = server.run(&["exec", "--json", "sh_1", "sleep 9"]);

    assert_eq!((run.code, run.stderr.as_str()), (124, ""));
    let printed: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(printed["status"], "timed_out");
}

#[test]
fn a_closed_pipe_on_standard_output_is_not_reported() {
    let server = ScriptedServer::new([(
        "GET /v1/sessions",
        200,
        json!({"data": [session("sh_1", "ready")]}),
    )]);
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let run = server.command(&["ls"]).stdout(writer).output().expect("it runs");
    assert_eq!((run.status.code(), run.stderr.as_slice()), (Some(1), b"".as_slice()));
}

#[test]
fn a_platform_failure_has_its_own_exit_code_and_message() {
    let failed = json!({"status": "failed", "error": {"code": "internal", "message": "broken"}});
    let server = ScriptedServer::new([
        ("POST /v1/shell/execute", 202, accepted()),
        ("GET /v1/jobs/job_1/output", 200, output("", 0)),
        ("GET /v1/jobs/job_1?", 200, job(failed)),
    ]);
    let run = server.run(&["exec", "sh_1", "true"]);

    assert_eq!(run.code, 125);
    assert_eq!(run.stderr, "ephemeral: failed: broken (internal)\n");
}

#[test]
fn a_list_follows_its_cursor() {
    let session = |id: &str, status: &str| json!({"sessionId": id, "status": status, "createdAt": "2026-01-31T12:00:00.000Z"});
    let one = json!({"data": [session("sh_1", "ready")], "nextCursor": "c1"});
    let two = json!({"data": [session("sh_2", "stopped"), session("sh_3", "ready")]});
    let server = ScriptedServer::new([
        ("GET /v1/sessions?limit=100&cursor=c1", 200, two),
        ("GET /v1/sessions?limit=100", 200, one),
    ]);
    let listed: Vec<Value> = server
        .run(&["ls", "--json"])
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let ids: Vec<_> = listed.iter().map(|session| session["sessionId"].as_str()).collect();
    assert_eq!(ids, [Some("sh_1"), Some("sh_3")]);
}

#[test]
fn a_list_without_entries_says_so_on_standard_error() {
    let server = ScriptedServer::new([
        ("GET /v1/sessions/sh_1/processes", 200, json!({"processes": [], "truncated": false})),
        ("GET /v1/sessions", 200, json!({"data": []})),
    ]);
    let text = |args: &[&str]| {
        let run = server.run(args);
        assert_eq!(run.code, 0, "{}", run.stderr);
        (run.stdout, run.stderr)
    };
    let (stdout, stderr) = text(&["ls"]);
    assert!(stdout.is_empty() && stderr.starts_with("no shells"), "{stdout}{stderr}");
    assert_eq!(text(&["ps", "sh_1"]), (String::new(), "no processes\n".to_owned()));
    assert_eq!(text(&["ls", "--json"]), (String::new(), String::new()));
    let (stdout, stderr) = text(&["ps", "--json", "sh_1"]);
    assert!(stdout.contains("\"processes\":[]") && stderr.is_empty(), "{stdout}{stderr}");
}

#[test]
fn json_has_no_characters_that_control_a_terminal() {
    let mut process = json!({
        "pid": 7, "parentPid": 1, "user": "shelluser", "name": "x", "arguments": ["\u{1b}[2J\u{9b}2J\u{7f}é"],
        "jobId": "job_1", "startedAt": "2026-01-31T12:00:00.000Z",
    });
    process["argumentsTruncated"] = false.into();
    let list = json!({"processes": [process], "truncated": false});
    let server = ScriptedServer::new([("GET /v1/sessions/sh_1/processes", 200, list.clone())]);
    let run = server.run(&["ps", "--json", "sh_1"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stdout.trim_end().chars().any(char::is_control), "{:?}", run.stdout);
    assert!(run.stdout.contains("\\u009b2J\\u007fé"), "{}", run.stdout);
    assert_eq!(serde_json::from_str::<Value>(&run.stdout).expect("JSON"), list);
}

#[test]
fn the_link_to_the_console_has_the_code_and_not_the_token() {
    let created = json!({"code": "one-time", "expiresInSeconds": 600});
    let server = ScriptedServer::new([("POST /console/codes", 201, created)]);
    let run = server.run(&["console"]);
    let link = format!("{}/#code=one-time", server.url());
    assert_eq!((run.code, run.stdout.trim()), (0, link.as_str()), "{}", run.stderr);
    let run = server.run(&["console", "--json"]);
    let printed: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(printed, json!({"url": link, "expiresInSeconds": 600}));
}

#[test]
fn a_server_without_a_console_is_named_in_the_error() {
    let problem =
        json!({"title": "Not Found", "status": 404, "detail": "no route", "code": "not_found"});
    let run = ScriptedServer::new([("POST /console/codes", 404, problem)]).run(&["console"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains(" has no console. hint: "), "{}", run.stderr);
}

fn session(id: &str, status: &str) -> Value {
    json!({"sessionId": id, "status": status, "createdAt": "2026-01-31T12:00:00.000Z"})
}

fn accepted() -> Value {
    json!({"jobId": "job_1", "sessionId": "sh_1", "type": "execute", "status": "queued"})
}

fn output(text: &str, next: u64) -> Value {
    let offset = next - text.len() as u64;
    json!({"offset": offset, "text": text, "encoding": "utf-8", "bytes": next, "truncated": false,
        "nextOffset": next})
}

fn job(mut fields: Value) -> Value {
    fields["jobId"] = "job_1".into();
    fields["sessionId"] = "sh_1".into();
    fields["type"] = "execute".into();
    fields["createdAt"] = "2026-01-31T12:00:00.000Z".into();
    fields
}
