//! Marks of merged output.

use domain::{
    command::Command,
    job::{Gap, Job, StreamStats},
};
use serde_json::json;

use super::{
    jobs::{end, exited, path, put, write_output},
    *,
};

/// `out`, `error`, and more to stdout.
const OUTPUT: &[u8] = b"outerrormore";
/// Stdout from 0 on, stderr 3 bytes later, and stdout 5 bytes later.
const MARKS: &[u8] = &[0, 13, 20];

/// A running job whose command asks for this and has written this.
fn running(change: impl FnOnce(Command) -> Command, stdout: &[u8], stderr: &[u8]) -> Fakes {
    let fakes = Fakes::new().with_ready_session("s");
    let command = change(testkit::command("mixed"));
    let fakes = fakes.with_running_command("s", "j", command);
    write_output(&fakes, stdout, stderr);
    fakes
}

fn merged(stdout: &[u8], marks: &[u8]) -> Fakes {
    running(|command| Command { merge: true, marks: true, ..command }, stdout, marks)
}

fn of_stdout(offset: u64) -> Value {
    json!({"offset": offset, "stream": "stdout"})
}

fn of_stderr(offset: u64) -> Value {
    json!({"offset": offset, "stream": "stderr"})
}

#[tokio::test]
async fn a_job_with_merged_output_shows_its_marks_and_an_empty_stderr() {
    let fakes = merged(OUTPUT, MARKS);
    end(&fakes, exited(0));
    let job = Api::new(fakes).get(&path("j")).await.expect(200);
    assert_eq!(
        job["stdout"],
        json!({"text": "outerrormore", "encoding": "utf-8", "nextOffset": 12,
            "marks": [of_stdout(0), of_stderr(3), of_stdout(8)],
            "bytes": 12, "keptBytes": 12, "truncated": false})
    );
    assert_eq!(
        job["stderr"],
        json!({"text": "", "encoding": "utf-8", "nextOffset": 0, "bytes": 0, "keptBytes": 0,
            "truncated": false})
    );
}

#[tokio::test]
async fn a_part_has_its_marks_with_offsets_of_the_whole_output() {
    let api = Api::new(merged(OUTPUT, MARKS));
    let marks = async |query: &str| {
        let part = api.get(&format!("{}/output?{query}", path("j"))).await.expect(200);
        part["marks"].clone()
    };
    assert_eq!(marks("offset=1&limit=3").await, json!([of_stdout(1), of_stderr(3)]));
    assert_eq!(marks("offset=4&limit=2").await, json!([of_stderr(4)]));
    assert_eq!(marks("offset=8").await, json!([of_stdout(8)]));
    assert_eq!(marks("offset=12").await, json!(null));
    let stderr = api.get(&format!("{}/output?stream=stderr", path("j"))).await.expect(200);
    assert_eq!((&stderr["text"], &stderr["bytes"]), (&json!(""), &json!(0)));
}

#[tokio::test]
async fn an_event_has_the_marks_of_its_part() {
    let fakes = merged(b"out", &[0]);
    let api = Api::new(fakes.clone());
    fakes.changes.meanwhile({
        let fakes = fakes.clone();
        move || write_output(&fakes, b"error", &[13])
    });
    fakes.changes.meanwhile({
        let fakes = fakes.clone();
        move || end(&fakes, exited(0))
    });
    let text = api.get(&format!("{}/stream", path("j"))).await.expect(200);
    let data = text.as_str().unwrap().lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    let marks: Vec<_> =
        events.iter().map(|event| &event["marks"]).filter(|m| !m.is_null()).collect();
    assert_eq!(marks, [&json!([of_stdout(0)]), &json!([of_stderr(3)])]);
    assert_eq!(events.last().unwrap()["stderr"]["bytes"], 0);
}

#[tokio::test]
async fn marks_are_right_behind_a_gap() {
    let fakes = merged(b"begin", &[0]);
    let Job::Running(running) = fakes.job("j") else { panic!("the job runs") };
    let (stdout, marks) = running.output();
    let gap = Some(Gap { from: 5, to: 900 });
    put(&fakes, running.progress(StreamStats { gap, ..stdout }, marks, fakes.now()), Vec::new());
    // Stdout again at 900, and stderr 3 bytes later: 900 * 4 and 3 * 4 + 1.
    write_output(&fakes, b"theend", &[0x90, 0x1C, 13]);
    end(&fakes, exited(0));
    let api = Api::new(fakes);
    let part = api.get(&format!("{}/output?offset=5", path("j"))).await.expect(200);
    assert_eq!((&part["offset"], &part["text"]), (&json!(900), &json!("theend")));
    assert_eq!(part["marks"], json!([of_stdout(900), of_stderr(903)]));
}

#[tokio::test]
async fn where_marks_are_missing_the_stream_is_not_named() {
    let fakes = merged(OUTPUT, &MARKS[..2]);
    let Job::Running(running) = fakes.job("j") else { panic!("the job runs") };
    let (stdout, marks) = running.output();
    let marks = StreamStats { written: marks.written + 1, ..marks };
    put(&fakes, running.progress(stdout, marks, fakes.now()), Vec::new());
    let job = Api::new(fakes).get(&path("j")).await.expect(200);
    assert_eq!(job["stdout"]["marks"], json!([of_stdout(0), {"offset": 3}]));
}

#[tokio::test]
async fn output_without_marks_has_no_such_field() {
    let shared = |command: Command| Command {
        merge: true,
        marks: true,
        shared_shell: Some("main".to_owned()),
        ..command
    };
    for fakes in [
        merged(OUTPUT, b""),
        running(shared, OUTPUT, b""),
        running(|command| Command { merge: true, ..command }, OUTPUT, &MARKS[1..]),
        running(|command| command, OUTPUT, &MARKS[1..]),
    ] {
        let job = Api::new(fakes).get(&path("j")).await.expect(200);
        assert_eq!(job["stdout"].get("marks"), None, "{job}");
    }
}
