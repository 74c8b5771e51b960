//! What the invocations of functions took, as their logs tell.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What CloudWatch adds to each line. Bytes
/// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>).
const LINE_OVERHEAD: usize = 26;

/// The invocations of a function.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Invocations {
    pub(crate) count: u64,
    /// The durations, times the function's memory.
    pub(crate) gib_seconds: f64,
    /// The lines of level `INFO` and above.
    pub(crate) log_bytes: u64,
}

/// The invocations of each function so far, by its name.
pub(super) fn invocations(
    groups: &BTreeMap<String, String>,
    logs: &[(String, String)],
) -> BTreeMap<String, Invocations> {
    let of_group = |group: &String| {
        let log = logs.iter().find(|(name, _)| group == name);
        log.map(|(_, log)| invocations_in(log)).unwrap_or_default()
    };
    groups.iter().map(|(name, group)| (name.clone(), of_group(group))).collect()
}

fn invocations_in(log: &str) -> Invocations {
    let mut found = Invocations::default();
    for line in log.lines() {
        if line.starts_with("START RequestId") {
            found.count += 1;
        } else if line.starts_with("REPORT RequestId") {
            let milliseconds = number_after(line, "\tDuration: ");
            found.gib_seconds +=
                milliseconds / 1000.0 * number_after(line, "\tMemory Size: ") / 1024.0;
        } else if is_kept(line) {
            found.log_bytes += u64::try_from(line.len() + LINE_OVERHEAD).unwrap_or(u64::MAX);
        }
    }
    found
}

/// Whether a deployment with the default settings logs this line: the tests log more.
fn is_kept(line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    matches!(line["level"].as_str(), Some("ERROR" | "WARN" | "INFO"))
}

fn number_after(line: &str, label: &str) -> f64 {
    let after = line.split_once(label).map(|(_, after)| after).unwrap_or_default();
    after.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

impl Invocations {
    /// What was added since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            count: self.count - before.count,
            gib_seconds: self.gib_seconds - before.gib_seconds,
            log_bytes: self.log_bytes - before.log_bytes,
        }
    }

    /// As it is reported.
    pub(crate) fn report(self) -> Value {
        json!({"count": self.count, "gibSeconds": self.gib_seconds, "logBytes": self.log_bytes})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invocations_are_counted_with_their_memory_and_the_lines_that_users_keep() {
        let kept = r#"{"timestamp":"2026-11-27T00:00:00Z","level":"INFO","message":"closed"}"#;
        let log = format!(
            "START RequestId: a Version: 1\n{kept}\n{{\"level\":\"TRACE\"}}\nEND RequestId: a\n\
             REPORT RequestId: a\tDuration: 500.5 ms\tBilled Duration: 501 ms\tMemory Size: 256 MB\t\n"
        );
        let groups = BTreeMap::from([("api".to_owned(), "/e/api".to_owned())]);
        let found = invocations(&groups, &[("/e/api".to_owned(), log)])["api"];
        assert_eq!((found.count, found.gib_seconds), (1, 0.5005 / 4.0));
        assert_eq!(found.log_bytes, kept.len() as u64 + 26);
    }
}
