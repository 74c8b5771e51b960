//! The recording of a terminal, as an asciicast of version 2
//! (<https://docs.asciinema.org/manual/asciicast/v2/>): a header, then one line for each piece of output and
//! each change of the size. What is typed is not recorded, as it may be a password.

use std::time::{Duration, Instant, SystemTime};

use runner::protocol::Start;
use serde_json::{Value, json};

use crate::terminal;

/// The most bytes of a UTF-8 character that may be missing at the end of a piece.
const MAX_CUT: usize = 3;

/// Writes the lines of a recording.
#[derive(Debug)]
pub(crate) struct Recording {
    started: Instant,
    /// How many bytes may still be written.
    room: u64,
    /// The beginning of a character whose rest was not shown yet.
    cut: Vec<u8>,
    is_over: bool,
}

impl Recording {
    /// The recording of the terminal of a job, if one is wanted, and its first line.
    pub(crate) fn begin(start: &Start, started: Instant) -> Option<(Self, Vec<u8>)> {
        let terminal = start.terminal?;
        let size = terminal::size(terminal.cols, terminal.rows);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name =
            start.env.iter().rev().find(|(name, _)| name == "TERM").map(|(_, value)| &**value);
        let header = json!({
            "version": 2,
            "width": size.ws_col,
            "height": size.ws_row,
            "timestamp": now.as_secs(),
            "env": {"TERM": name.unwrap_or(terminal::TERM)},
        });
        let room = terminal.record_bytes.filter(|room| *room > 0)?;
        let mut recording = Self { started, room, cut: Vec::new(), is_over: false };
        let header = recording.line(&header);
        Some((recording, header))
    }

    /// The line for a piece of output.
    pub(crate) fn output(&mut self, bytes: &[u8], now: Instant) -> Vec<u8> {
        self.cut.extend_from_slice(bytes);
        let rest = self.cut.split_off(complete(&self.cut));
        let shown = std::mem::replace(&mut self.cut, rest);
        if shown.is_empty() {
            return Vec::new();
        }
        self.event(now, "o", &String::from_utf8_lossy(&shown))
    }

    /// The line for another size.
    pub(crate) fn resize(&mut self, cols: u16, rows: u16, now: Instant) -> Vec<u8> {
        let size = terminal::size(cols, rows);
        self.event(now, "r", &format!("{}x{}", size.ws_col, size.ws_row))
    }

    fn event(&mut self, now: Instant, code: &str, data: &str) -> Vec<u8> {
        let seconds = seconds(now.saturating_duration_since(self.started));
        let line = self.line(&json!([seconds, code, data]));
        if !line.is_empty() || self.is_over {
            return line;
        }
        // The room that is kept for it.
        self.is_over = true;
        let marker =
            json!([seconds, "m", "The recording ends here: it has reached its largest size."]);
        encode(&marker)
    }

    /// The line with this value; empty if there is no room for it and for a marker behind it.
    fn line(&mut self, value: &Value) -> Vec<u8> {
        let line = encode(value);
        let size = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.is_over || size.saturating_add(MARKER_ROOM) > self.room {
            return Vec::new();
        }
        self.room -= size;
        line
    }
}

/// How many bytes are kept free for the last line.
const MARKER_ROOM: u64 = 128;

fn encode(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Seconds to the microsecond.
fn seconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e6).round() / 1e6
}

/// How many of the bytes are not the beginning of a character that may be continued.
fn complete(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(MAX_CUT);
    let start = (from..bytes.len()).rev().find(|at| bytes[*at] >= 0xC0);
    let cut = start.filter(|start| {
        str::from_utf8(&bytes[*start..]).is_err_and(|error| error.error_len().is_none())
    });
    cut.unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(room: u64) -> Recording {
        Recording { started: Instant::now(), room, cut: Vec::new(), is_over: false }
    }

    fn text(line: &[u8]) -> String {
        let line: Value = serde_json::from_slice(line).unwrap();
        line[2].as_str().unwrap().to_owned()
    }

    #[test]
    fn an_event_has_its_time_in_seconds_and_its_text() {
        let mut recording = recording(1000);
        let now = recording.started + Duration::from_nanos(1_234_567_890);
        let line = recording.output(b"\x1b[1mhi\"\r\n", now);
        assert_eq!(line, b"[1.234568,\"o\",\"\\u001b[1mhi\\\"\\r\\n\"]\n");
        assert_eq!(recording.resize(0, 40, now), b"[1.234568,\"r\",\"1x40\"]\n");
    }

    #[test]
    fn a_character_that_is_cut_waits_for_its_rest() {
        let mut recording = recording(1000);
        let now = recording.started;
        assert_eq!(text(&recording.output("a€".as_bytes().split_last().unwrap().1, now)), "a");
        assert_eq!(text(&recording.output(&"€b".as_bytes()[2..], now)), "€b");
        assert_eq!(recording.output(b"\xf0\x9f", now), b"");
        assert_eq!(text(&recording.output(b"\x98\x80", now)), "\u{1f600}");
        assert_eq!(text(&recording.output(b"\xff\xfe\xc0", now)), "\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn at_its_limit_a_recording_ends_with_a_marker() {
        let limit = 1000;
        let mut recording = recording(limit);
        let now = recording.started;
        let lines: Vec<u8> = (0..100).flat_map(|_| recording.output(&[b'x'; 100], now)).collect();
        assert!(lines.len() as u64 <= limit, "{} bytes", lines.len());
        let lines = String::from_utf8(lines).unwrap();
        assert!(lines.lines().last().unwrap().starts_with("[0.0,\"m\","), "{lines}");
        assert_eq!(lines.matches("\"m\"").count(), 1);
        assert_eq!(recording.resize(1, 1, now), b"");
    }
}
