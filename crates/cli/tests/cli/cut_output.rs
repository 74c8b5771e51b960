//! Output that the server did not keep.

use serde_json::{Value, json};

use crate::{
    fake_server::{FakeJob, FakeServer},
    scripted_server::ScriptedServer,
};

const REMARK: &str = "output cut: 1.0 of 2.9 MiB kept; --max-output BYTES keeps more";

fn cut() -> Value {
    json!({"offset": 0, "text": "", "encoding": "utf-8", "nextOffset": 0,
        "bytes": 3_000_000, "keptBytes": 1_048_576, "truncated": true})
}

fn whole() -> Value {
    json!({"offset": 0, "text": "", "encoding": "utf-8", "nextOffset": 0,
        "bytes": 0, "keptBytes": 0, "truncated": false})
}

fn job() -> Value {
    json!({
        "jobId": "job_1", "sessionId": "sh_1", "type": "execute", "status": "completed",
        "exitCode": 0, "createdAt": "2026-01-31T12:00:00.000Z", "stdout": cut(), "stderr": whole(),
    })
}

#[test]
fn run_exec_and_logs_report_cut_output_on_standard_error() {
    for args in [["exec", "sh_1", "make"].as_slice(), &["run", "make"], &["logs", "-f", "job_1"]] {
        let server = FakeServer::new(FakeJob::new("out\n", [("end", job())]));
        server.end();
        let ended = server.command(args).output().expect("it runs");

        assert_eq!(ended.status.code(), Some(0), "{args:?}");
        assert_eq!(ended.stdout, b"out\n", "{args:?}");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(stderr, format!("ephemeral: stdout: {REMARK}\n"), "{args:?}");
    }
}

#[test]
fn json_has_no_remark_about_cut_output() {
    let server = FakeServer::new(FakeJob::new("out\n", [("end", job())]));
    server.end();
    let ended = server.command(&["exec", "--json", "sh_1", "make"]).output().expect("it runs");
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn logs_of_a_finished_job_report_cut_output_of_each_stream() {
    let server = ScriptedServer::new([
        ("GET /v1/jobs/job_1/output?stream=stdout", 200, cut()),
        ("GET /v1/jobs/job_1/output?stream=stderr", 200, cut()),
    ]);
    let run = server.run(&["logs", "job_1"]);
    let expected = format!("ephemeral: stdout: {REMARK}\nephemeral: stderr: {REMARK}\n");
    assert_eq!((run.code, run.stderr), (0, expected));
}

#[test]
fn show_reports_cut_output() {
    let run = ScriptedServer::new([("GET /v1/jobs/job_1", 200, job())]).run(&["show", "job_1"]);
    assert!(run.stdout.contains(&format!("stdout        {REMARK}\n")), "{}", run.stdout);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

const LEFT_OUT: &str = "… 1.9 MiB left out …\n";

fn part(offset: u64, text: &str) -> Value {
    json!({"offset": offset, "text": text, "encoding": "utf-8", "nextOffset": offset + text.len() as u64,
        "bytes": 2_000_010, "keptBytes": 10, "truncated": true, "gap": {"from": 6, "to": 2_000_006}})
}

#[test]
fn pages_of_output_tell_at_its_place_what_was_left_out() {
    let server = ScriptedServer::new([
        ("GET /v1/jobs/job_1/output?stream=stdout&offset=0", 200, part(0, "begin\n")),
        ("GET /v1/jobs/job_1/output?stream=stdout&offset=6", 200, part(2_000_006, "end\n")),
        ("GET /v1/jobs/job_1/output?stream=stdout&offset=2000010", 200, part(2_000_010, "")),
        ("GET /v1/jobs/job_1/output?stream=stderr", 200, whole()),
    ]);
    let run = server.run(&["logs", "job_1"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "begin\nend\n"));
    assert!(run.stderr.starts_with(LEFT_OUT), "{}", run.stderr);
    assert!(run.stderr.contains("output cut: 10 of 2000010 bytes kept"), "{}", run.stderr);
}

#[test]
fn a_stream_tells_at_its_place_what_was_left_out() {
    let chunk = |offset: u64, text: &str| {
        let next = offset + text.len() as u64;
        let data = json!({"stream": "stdout", "offset": offset, "text": text, "encoding": "utf-8",
            "nextOffset": next});
        format!("id: {next}.0\nevent: output\ndata: {data}\n\n")
    };
    let gap = json!({"stream": "stdout", "from": 6, "to": 2_000_006});
    let stream = [
        chunk(0, "within"),
        format!("id: 2000010.0\nevent: gap\ndata: {gap}\n\n"),
        chunk(2_000_006, "end\n"),
        format!("id: 2000010.0.end\nevent: end\ndata: {}\n\n", job()),
    ];
    let server =
        ScriptedServer::new([("GET /v1/jobs/job_1/stream", 200, Value::String(stream.concat()))]);
    let run = server.run(&["logs", "-f", "job_1"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "withinend\n"));
    assert!(run.stderr.starts_with(&format!("\n{LEFT_OUT}")), "{}", run.stderr);
}
