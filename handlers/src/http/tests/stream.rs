use std::time::Duration;

use domain::job::{Exit, Outcome};
use serde_json::json;
use testkit::job_id;

use super::{
    gap::with_gap,
    jobs::{end, write_output},
    *,
};

fn path() -> String {
    format!("/v1/jobs/{}/stream", job_id("j"))
}

fn running() -> Fakes {
    Fakes::new().with_ready_session("s").with_running_job("s", "j", "true")
}

fn exited() -> Outcome {
    Outcome::Completed { exit: Some(Exit::Code(0)), failure: None }
}

/// The events as `(kind, id, data)`; comments have no kind.
fn events(answer: Answer) -> Vec<(String, String, Value)> {
    let text = answer.expect(200);
    let blocks = text.as_str().unwrap().split("\n\n").filter(|block| !block.is_empty());
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.strip_prefix(": ")).unwrap_or_default().to_owned()
    };
    blocks
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data")).unwrap_or_default();
            (field(block, "event"), field(block, "id"), data)
        })
        .collect()
}

#[tokio::test]
async fn a_stream_sends_status_output_and_end() {
    let api = Api::new(running());
    let fakes = api.fakes.clone();
    write_output(&fakes, b"one", b"");
    api.fakes.changes.meanwhile({
        let fakes = fakes.clone();
        move || write_output(&fakes, "twö".as_bytes(), b"\xff")
    });
    api.fakes.changes.meanwhile(move || end(&fakes, exited()));
    let seen = events(api.get(&path()).await);
    let short: Vec<_> = seen.iter().map(|(kind, id, _)| (kind.as_str(), id.as_str())).collect();
    assert_eq!(
        short,
        [
            ("status", "0.0"),
            ("output", "3.0"),
            ("output", "7.0"),
            ("output", "7.1"),
            ("status", "7.1"),
            ("end", "7.1.end"),
        ]
    );
    assert_eq!(seen[0].2, json!({"status": "running", "attempt": 1}));
    assert_eq!(
        seen[2].2,
        json!({"stream": "stdout", "offset": 3, "text": "twö",
        "encoding": "utf-8", "nextOffset": 7})
    );
    assert_eq!(seen[3].2["encoding"], "base64");
    assert_eq!((&seen[5].2["status"], &seen[5].2["exitCode"]), (&json!("completed"), &json!(0)));
}

#[tokio::test]
async fn a_stream_resumes_after_the_last_event() {
    let fakes = running();
    write_output(&fakes, b"onetwo", b"err");
    end(&fakes, exited());
    let request = as_ann(Request::get(path()).header("last-event-id", "3.0"));
    let seen = events(Api::new(fakes).send(&request, Body::empty()).await);
    let texts: Vec<_> = seen.iter().filter_map(|(_, _, data)| data["text"].as_str()).collect();
    assert_eq!(texts, ["two", "err"]);
    assert_eq!(seen.last().unwrap().1, "6.3.end");
}

#[tokio::test]
async fn a_large_output_comes_in_several_events() {
    let fakes = running();
    write_output(&fakes, &[b'x'; 150_000], b"");
    end(&fakes, exited());
    let seen = events(Api::new(fakes).get(&path()).await);
    let offsets: Vec<_> = seen.iter().filter_map(|(_, _, data)| data["offset"].as_u64()).collect();
    assert_eq!(offsets, [0, 65_536, 131_072]);
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let api = Api::new(running());
    let (begin, fakes) = (api.now(), api.fakes.clone());
    let mut waits = 0;
    api.fakes.gate.fail(move |_, action| {
        waits += u32::from(action == "waiting for a job");
        if action == "waiting for a job" && waits == 3 {
            end(&fakes, exited());
        }
        None
    });
    let seen = events(api.get(&path()).await);
    let kinds: Vec<_> = seen.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(kinds, ["status", "", "", "status", "end"]);
    assert_eq!(api.now().since(begin).as_secs(), 30);
}

#[tokio::test]
async fn changes_without_an_event_do_not_put_off_comments() {
    let api = Api::new(running());
    for _ in 0..8 {
        let fakes = api.fakes.clone();
        api.fakes.changes.meanwhile(move || {
            fakes.clock.reach(fakes.now() + Duration::from_secs(5));
            write_output(&fakes, b"", b"");
        });
    }
    let fakes = api.fakes.clone();
    api.fakes.changes.meanwhile(move || end(&fakes, exited()));
    let seen = events(api.get(&path()).await);
    let kinds: Vec<_> = seen.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(kinds, ["status", "", "", "status", "end"]);
}

#[tokio::test]
async fn a_stream_is_neither_buffered_nor_stored_by_proxies() {
    let fakes = running();
    end(&fakes, exited());
    let answer = Api::new(fakes).get(&path()).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_client_that_has_seen_the_end_gets_a_204() {
    let fakes = running();
    end(&fakes, exited());
    let request = as_ann(Request::get(path()).header("last-event-id", "0.0.end"));
    assert_eq!(Api::new(fakes).send(&request, Body::empty()).await.status, 204);
}

#[tokio::test]
async fn a_strange_last_event_id_is_refused() {
    let api = Api::new(running());
    for id in ["x", "1", "1.", "1.2.3", "-1.0", "9999999999999999.0"] {
        let request = as_ann(Request::get(path()).header("last-event-id", id));
        let answer = api.send(&request, Body::empty()).await;
        let errors = &answer.problem(400, "invalid_request")["errors"];
        assert_eq!(errors[0]["header"], "Last-Event-ID", "{id}");
    }
}

#[tokio::test]
async fn without_streaming_the_refusal_names_the_long_poll() {
    let api = Api::new(running()).with_policy(|policy| policy.streaming = false);
    let answer = api.get(&path()).await;
    answer.problem(406, "streaming_unavailable");
    assert!(answer.text("detail").contains("waitSeconds"));
}

#[tokio::test]
async fn a_stream_marks_the_gap_in_the_output() {
    let fakes = with_gap(b"begin", b"the end");
    end(&fakes, exited());
    let seen = events(Api::new(fakes).get(&path()).await);
    let short: Vec<_> = seen.iter().map(|(kind, id, _)| (kind.as_str(), id.as_str())).collect();
    // The id is where a client resumes that has lost what follows.
    let gap = ("gap", "5.0");
    let expected =
        [("status", "0.0"), ("output", "5.0"), gap, ("output", "1000.0"), ("end", "1000.0.end")];
    assert_eq!(short, expected);
    assert_eq!(seen[2].2, json!({"stream": "stdout", "from": 5, "to": 993}));
    assert_eq!((&seen[3].2["offset"], &seen[3].2["text"]), (&json!(993), &json!("the end")));
}

#[tokio::test]
async fn a_client_that_accepts_no_events_gets_406() {
    let fakes = running();
    write_output(&fakes, b"one", b"");
    end(&fakes, exited());
    for streaming in [true, false] {
        let api = Api::new(fakes.clone()).with_policy(|policy| policy.streaming = streaming);
        for (accept, is_accepted) in [
            ("application/json", false),
            ("text/html, application/*", false),
            ("text/event-stream;q=0", false),
            ("*/*, text/event-stream;q=0.0", false),
            ("text/*;q=0, */*", false),
            ("*/*", true),
            ("text/*", true),
            ("Text/Event-Stream", true),
            ("application/json, text/event-stream;q=0.1", true),
            ("*/*;q=0, text/event-stream", true),
            ("", true),
        ] {
            let request = as_ann(Request::get(path()).header("accept", accept));
            let answer = api.send(&request, "").await;
            match (is_accepted, streaming) {
                (true, true) => drop(answer.expect(200)),
                (true, false) => drop(answer.problem(406, "streaming_unavailable")),
                (false, _) => drop(answer.problem(406, "not_acceptable")),
            }
        }
    }
}
