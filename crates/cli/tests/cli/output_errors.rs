//! Standard output that can't be written while the binary follows a job.

use std::{
    fs::OpenOptions,
    io::{self, BufRead, BufReader},
    process::Stdio,
};

use serde_json::json;

use crate::fake_server::{FakeJob, FakeServer};

/// A server with a job that prints until it is cancelled.
fn endless() -> FakeServer {
    let ends = [("cancel", json!({"status": "cancelled", "signal": 15}))];
    FakeServer::new(FakeJob { endless: true, ..FakeJob::new("y\n", ends) })
}

#[test]
fn a_reader_that_closes_the_pipe_cancels_the_job_with_exit_code_141() {
    for args in [["exec", "sh_1", "yes"], ["run", "--", "yes"]] {
        let server = endless();
        let mut child = server
            .command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        stdout.read_line(&mut line).expect("it prints a line");
        drop(stdout);
        let ended = child.wait_with_output().expect("it ends");

        assert_eq!((line.as_str(), ended.status.code()), ("y\n", Some(141)), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{args:?}");
        assert_eq!(server.count("POST /v1/jobs/job_1/cancel"), 1, "{args:?}");
        // The second stop of `run` follows the end of the job.
        let stops = if args[0] == "run" { 2 } else { 0 };
        assert_eq!(server.count("POST /v1/shell/stop"), stops, "{args:?}");
    }
}

#[test]
fn a_full_disk_cancels_the_job_with_a_message() {
    for args in [["exec", "sh_1", "yes"], ["run", "--", "yes"]] {
        let server = endless();
        let full = OpenOptions::new().write(true).open("/dev/full").expect("it is there");
        let ended = server.command(&args).stdout(full).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&ended.stderr);

        assert_eq!(ended.status.code(), Some(1), "{stderr}");
        assert_eq!(
            stderr, "error: can't write the output: No space left on device (os error 28)\n",
            "{args:?}"
        );
        assert_eq!(server.count("POST /v1/jobs/job_1/cancel"), 1, "{args:?}");
    }
}

#[test]
fn a_closed_pipe_for_json_exits_with_141() {
    let ends = [("end", json!({"status": "completed", "exitCode": 0}))];
    let server = FakeServer::new(FakeJob::new("", ends));
    server.end();
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let args = ["exec", "--json", "sh_1", "true"];
    let ended = server.command(&args).stdout(writer).output().expect("it runs");

    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(141), b"".as_slice()));
}

#[test]
fn a_closed_pipe_of_logs_does_not_cancel_the_job() {
    let server = endless();
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let args = ["logs", "-f", "job_1"];
    let ended = server.command(&args).stdout(writer).output().expect("it runs");

    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(141), b"".as_slice()));
    assert_eq!(server.count("POST"), 0);
}
