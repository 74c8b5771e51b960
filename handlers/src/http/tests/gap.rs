//! Output with a gap.

use domain::job::{Gap, Job, StreamStats};
use serde_json::json;

use super::{
    jobs::{end, exited, path, put, with_output},
    *,
};

/// A job that has written 1,000 bytes, of which these are stored.
pub(super) fn with_gap(head: &[u8], tail: &[u8]) -> Fakes {
    let fakes = with_output(&[head, tail].concat(), b"");
    let Job::Running(running) = fakes.job("j") else { panic!("the job runs") };
    let gap = Some(Gap { from: head.len() as u64, to: 1_000 - tail.len() as u64 });
    let stored = (head.len() + tail.len()) as u64;
    let stats = StreamStats { stored, written: 1_000, gap };
    put(&fakes, running.progress(stats, StreamStats::NOTHING, fakes.now()), Vec::new());
    fakes
}

#[tokio::test]
async fn output_is_paged_over_its_gap() {
    let fakes = with_gap("begin€".as_bytes(), b"the end");
    end(&fakes, exited(0));
    let api = Api::new(fakes);
    let part = async |offset: u64, limit: u64| {
        let path = format!("{}/output?offset={offset}&limit={limit}", path("j"));
        api.get(&path).await.expect(200)
    };
    let short = |part: &Value| {
        let number = |name: &str| part[name].as_u64().unwrap();
        let text = part["text"].as_str().unwrap().to_owned();
        (number("offset"), text, number("nextOffset"), part["complete"] == true)
    };
    let head = part(0, 100).await;
    assert_eq!(short(&head), (0, "begin€".to_owned(), 8, false));
    assert_eq!(head["gap"], json!({"from": 8, "to": 993}));
    assert_eq!((&head["bytes"], &head["keptBytes"]), (&json!(1_000), &json!(15)));
    assert_eq!(head["truncated"], true);
    // A part that begins in the gap begins behind it.
    for offset in [8, 500, 992] {
        assert_eq!(short(&part(offset, 4).await), (993, "the ".to_owned(), 997, false));
    }
    assert_eq!(short(&part(997, 4).await), (997, "end".to_owned(), 1_000, true));
    assert_eq!(short(&part(1_000, 4).await), (1_000, String::new(), 1_000, true));
    let job = api.get(&path("j")).await.expect(200);
    assert_eq!(
        (&job["stdout"]["text"], &job["stdout"]["nextOffset"]),
        (&json!("begin€"), &json!(8))
    );
    assert_eq!(job["stdout"]["gap"], json!({"from": 8, "to": 993}));
}

#[tokio::test]
async fn the_end_of_output_without_its_beginning_comes_with_the_job() {
    let api = Api::new(with_gap(b"", b"the end"));
    let job = api.get(&path("j")).await.expect(200);
    assert_eq!(job["stdout"]["text"], "the end");
    assert_eq!(job["stdout"]["gap"], json!({"from": 0, "to": 993}));
}

#[tokio::test]
async fn the_end_of_an_output_of_many_gigabytes_can_be_read() {
    let fakes = with_output(b"beginend", b"");
    let Job::Running(running) = fakes.job("j") else { panic!("the job runs") };
    let gap = Some(Gap { from: 5, to: 50_000_000_000 });
    let stats = StreamStats { stored: 8, written: 50_000_000_003, gap };
    put(&fakes, running.progress(stats, StreamStats::NOTHING, fakes.now()), Vec::new());
    end(&fakes, exited(0));
    let api = Api::new(fakes);
    let tail = api.get(&format!("{}/output?offset=50000000001", path("j"))).await.expect(200);
    assert_eq!((&tail["text"], &tail["complete"]), (&json!("nd"), &json!(true)));
    let resume = Request::get(format!("{}/stream", path("j")));
    let resume = as_ann(resume.header("last-event-id", "50000000001.0"));
    let stream = api.send(&resume, Body::empty()).await.expect(200);
    assert!(stream.as_str().unwrap().contains(r#""text":"nd""#), "{stream}");
}
