//! A server that is restarted while the binary follows a job.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use serde_json::json;

use crate::fake_server::{FakeJob, FakeServer};

fn server() -> FakeServer {
    let ends = [("end", json!({"status": "completed", "exitCode": 7}))];
    FakeServer::new(FakeJob { last_output: "two\n", ..FakeJob::new("one\n", ends) })
}

#[test]
fn the_output_continues_after_a_restart_of_the_server() {
    for (args, code) in [
        (["exec", "sh_1", "make"].as_slice(), 7),
        (&["run", "make"], 7),
        (&["logs", "-f", "job_1"], 0),
    ] {
        let mut server = server();
        let mut child = server.command(args).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it prints a line");
        server.stop();
        // Another process can't reach the server either, and reports that at once.
        let show = server.command(&["show", "job_1"]).output().expect("it runs");
        assert_eq!(show.status.code(), Some(5));
        server.restart();
        server.end();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("it is UTF-8");

        assert_eq!((line.as_str(), rest.as_str()), ("one\n", "two\n"), "{args:?}");
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "{args:?}");
    }
}

#[test]
fn a_server_that_does_not_come_back_is_reported_with_the_job() {
    let mut server = server();
    let mut exec = server
        .command(&["exec", "sh_1", "make"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut line = String::new();
    let mut stdout = BufReader::new(exec.stdout.take().expect("it is piped"));
    stdout.read_line(&mut line).expect("it prints a line");
    server.stop();
    let ended = exec.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);

    assert_eq!(ended.status.code(), Some(5), "{stderr}");
    assert!(stderr.starts_with("error: no response from http://127.0.0.1:"), "{stderr}");
    assert!(stderr.contains("; job job_1 may still be running"), "{stderr}");
    assert!(stderr.contains("hint: `ephemeral logs -f job_1` "), "{stderr}");
}

#[test]
fn run_repeats_the_requests_that_a_restart_interrupts() {
    for request in ["POST /v1/shell/execute", "POST /v1/shell/stop", "GET /v1/jobs/job_2"] {
        let ends = [("end", json!({"status": "completed", "exitCode": 7}))];
        let job = FakeJob::new("one\n", ends);
        let server = FakeServer::new(FakeJob { unavailable: Some(request), ..job });
        server.end();
        let ended = server.command(&["run", "make"]).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&ended.stderr);

        assert_eq!((ended.status.code(), stderr.as_ref()), (Some(7), ""), "{request}");
        // `run` stops its shell twice: the first stop asks the session to drain.
        let expected = if request.ends_with("/stop") { 3 } else { 2 };
        assert_eq!(server.count(request), expected, "{request}");
    }
}

#[test]
fn exec_does_not_repeat_a_command() {
    let request = "POST /v1/shell/execute";
    let job = FakeJob { unavailable: Some(request), ..FakeJob::default() };
    let server = FakeServer::new(job);
    let ended = server.command(&["exec", "sh_1", "make"]).output().expect("it runs");

    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stderr, b"error: retry\n");
    assert_eq!(server.count(request), 1);
}
