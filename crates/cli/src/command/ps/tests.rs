use serde_json::json;

use super::*;

fn process(arguments: &[&str], truncated: bool) -> RunningProcess {
    let value = json!({
        "pid": 7, "parentPid": 1, "jobId": "job_1", "user": "shelluser", "name": "sh",
        "arguments": arguments, "argumentsTruncated": truncated,
        "startedAt": "2026-01-01T00:00:00.000Z", "cpuMilliseconds": 1500, "memoryBytes": 3_500_000,
    });
    read(&value).expect("a process")
}

#[test]
fn a_list_has_a_row_for_each_process() {
    let now = process(&[], false).started_at + time::Duration::minutes(3);
    let rows = listing(&[process(&["sh", "-c", "exit"], false), process(&[], false)], now);
    let rows: Vec<_> = rows.lines().skip(1).collect();
    assert_eq!(
        rows,
        [
            "7    1     shelluser  3m ago   1.5s  4M   job_1  sh -c exit",
            "7    1     shelluser  3m ago   1.5s  4M   job_1  [sh]",
        ]
    );
}

#[test]
fn arguments_can_not_control_the_terminal() {
    assert_eq!(command(&process(&["sh", "a\u{1b}[2J\nb"], true)), "sh a [2J b…");
    assert_eq!(command(&process(&["a\u{202e}b\u{2066}c"], false)), "a b c");
}
