use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;

use super::*;
use crate::api::{Api, UnreachableError};

/// The API of one job whose stdout is known. Of that, the bytes of the gap are not stored.
struct Job {
    stdout: Vec<u8>,
    gap: std::ops::Range<usize>,
}

impl Job {
    fn page(&self, offset: usize, limit: usize) -> Value {
        let offset = if self.gap.contains(&offset) { self.gap.end } else { offset };
        let stored_until = if offset < self.gap.start { self.gap.start } else { self.stdout.len() };
        let end = (offset + limit).min(stored_until).max(offset);
        let part = &self.stdout[offset.min(self.stdout.len())..end.min(self.stdout.len())];
        let (text, encoding) = match std::str::from_utf8(part) {
            Ok(text) => (text.to_owned(), "utf-8"),
            Err(_) => (BASE64_STANDARD.encode(part), "base64"),
        };
        json!({
            "offset": offset, "text": text, "encoding": encoding, "nextOffset": offset + part.len(),
            "bytes": self.stdout.len(), "keptBytes": self.stdout.len() - self.gap.len(),
        })
    }

    fn view(&self) -> Value {
        let nothing = json!({
            "text": "", "encoding": "utf-8", "nextOffset": 0, "bytes": 0, "keptBytes": 0,
        });
        json!({"jobId": "job_1", "stdout": self.page(0, 65_536), "stderr": nothing})
    }
}

#[async_trait]
impl Api for Job {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, UnreachableError> {
        let uri = request.uri().to_string();
        let number = |name: &str| {
            let (_, rest) = uri.split_once(&format!("{name}=")).unwrap();
            rest.split('&').next().unwrap().parse::<usize>().unwrap()
        };
        assert!(uri.starts_with("/v1/jobs/job_1/output?stream=stdout&"), "{uri}");
        let page = self.page(number("offset"), number("limit"));
        Ok(Response::new(page.to_string().into()))
    }
}

async fn shown(stdout: &[u8], gap: std::ops::Range<usize>, from: u64, how: Selection) -> Shown {
    let job = Job { stdout: stdout.to_owned(), gap };
    let view = job.view();
    let from = Cursor { stdout: from, stderr: 0 };
    show(&Requests::new(Arc::new(job)), &view, from, how).await.unwrap()
}

/// Numbered lines of 8 bytes.
fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|line| format!("{line:07}\n").into_bytes()).collect()
}

#[tokio::test]
async fn short_output_is_shown_whole() {
    let shown = shown(b"\x1b[32mok\x1b[0m\n", 0..0, 0, Selection::Ends).await;
    assert_eq!(shown.stdout, Output { text: "ok\n".into(), bytes: 12, omitted_bytes: 0 });
    assert_eq!((shown.next.to_string(), shown.omitted, shown.more), ("12.0".into(), None, false));
}

#[tokio::test]
async fn the_middle_of_long_output_is_left_out_and_can_be_read_from_a_cursor() {
    let output = lines(10_000);
    let first = shown(&output, 0..0, 0, Selection::Ends).await;
    let text = &first.stdout.text;
    assert!(text.starts_with("0000000\n0000001\n") && text.ends_with("0009998\n0009999\n"));
    assert_eq!(first.stdout.omitted_bytes, 80_000 - LIMIT);
    assert!(text.contains("\n[... 63616 bytes left out ...]\n"), "{text}");
    assert_eq!(first.next.to_string(), "80000.0");
    let mut cursor = first.omitted.unwrap();
    let mut read = lines(1024);
    while cursor.stdout < 80_000 - LIMIT / 2 {
        let part = shown(&output, 0..0, cursor.stdout, Selection::Next).await;
        read.extend(part.stdout.text.into_bytes());
        assert_eq!(part.more, part.next.stdout < 80_000);
        cursor = part.next;
    }
    assert_eq!(
        String::from_utf8(read).unwrap(),
        String::from_utf8_lossy(&output[..read_end(cursor)])
    );
}

fn read_end(cursor: Cursor) -> usize {
    usize::try_from(cursor.stdout).unwrap()
}

#[tokio::test]
async fn output_that_the_server_did_not_keep_is_named_and_not_offered() {
    let output = lines(10_000);
    let shown = shown(&output, 4000..76_000, 0, Selection::Ends).await;
    assert_eq!(shown.stdout.omitted_bytes, 72_000);
    assert!(shown.stdout.text.ends_with("0009999\n"));
    assert_eq!(shown.stdout.bytes, 80_000);
}

#[tokio::test]
async fn only_what_follows_a_cursor_is_shown() {
    let output = lines(100);
    let shown = shown(&output, 0..0, 792, Selection::Ends).await;
    assert_eq!(shown.stdout.text, "0000099\n");
    let nothing = super::tests::shown(&output, 0..0, 800, Selection::Ends).await;
    assert_eq!((nothing.stdout.text.as_str(), nothing.next.stdout), ("", 800));
}

#[tokio::test]
async fn binary_output_becomes_text_that_json_and_terminals_can_bear() {
    let output: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let shown = shown(&output, 0..0, 0, Selection::Ends).await;
    assert!(shown.stdout.text.len() < 4 * usize::try_from(LIMIT).unwrap());
    assert!(!shown.stdout.text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
}

#[tokio::test]
async fn a_character_at_a_cut_is_left_out_and_never_broken() {
    let output = "\u{20ac}".repeat(20_000);
    let shown = shown(output.as_bytes(), 0..0, 0, Selection::Ends).await;
    assert!(!shown.stdout.text.contains('\u{fffd}'), "a broken character");
    assert!(shown.stdout.text.starts_with('\u{20ac}') && shown.stdout.text.ends_with('\u{20ac}'));
}

#[test]
fn a_cursor_is_two_offsets() {
    let cursor: Cursor = "12.34".parse().unwrap();
    assert_eq!((cursor, cursor.to_string()), (Cursor { stdout: 12, stderr: 34 }, "12.34".into()));
    for text in ["", "1", "1.", ".1", "1.2.3", "-1.0", "a.b", "99999999999999999999.0"] {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
}
