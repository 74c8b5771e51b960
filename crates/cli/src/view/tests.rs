use serde_json::{Value, json};

use super::*;

fn job(mut fields: Value) -> Job {
    let all = json!({
        "jobId": "job_1", "sessionId": "sh_1", "type": "execute", "attempt": 1,
        "createdAt": "2026-01-31T12:00:00.000Z",
    });
    for (name, value) in all.as_object().expect("an object") {
        fields[name] = value.clone();
    }
    serde_json::from_value(fields).expect("a job")
}

#[test]
fn every_outcome_has_its_exit_code() {
    let error = |code: &str| json!({"code": code, "message": "no"});
    for (fields, code) in [
        (json!({"status": "completed", "exitCode": 0}), 0),
        (json!({"status": "completed", "exitCode": 7}), 7),
        (json!({"status": "completed", "exitCode": 127}), 127),
        (json!({"status": "completed", "signal": 9}), 137),
        (json!({"status": "timed_out", "signal": 15}), 124),
        (json!({"status": "failed", "error": error("command_not_found")}), 127),
        (json!({"status": "failed", "error": error("not_executable")}), 126),
        (json!({"status": "failed", "error": error("internal")}), 125),
        (json!({"status": "lost", "error": error("task_gone")}), 125),
        (json!({"status": "cancelled", "error": error("session_ended")}), 125),
        (json!({"status": "cancelled", "signal": 15}), 143),
    ] {
        assert_eq!(job(fields.clone()).exit(), code, "{fields}");
    }
}

#[test]
fn an_outcome_that_the_exit_code_does_not_express_has_a_remark() {
    let lost = json!({"status": "lost", "error": {"code": "gone", "message": "the shell is gone"}});
    assert_eq!(job(lost).remark().as_deref(), Some("lost: the shell is gone (gone)"));
    assert_eq!(job(json!({"status": "completed", "exitCode": 1})).remark(), None);
}

#[test]
fn usage_is_printed_in_readable_units() {
    let usage = json!({"wallMs": 12, "cpuMs": 3_449, "maxRssBytes": 1_572_864});
    let summary = |usage: &Value| serde_json::from_value::<Usage>(usage.clone()).unwrap().summary();
    assert_eq!(summary(&usage), "12ms wall, 3.4s cpu, 1.5 MiB at most");
    let mut all = usage;
    all["memoryPeakBytes"] = json!(3 << 20);
    all["oomKills"] = json!(1);
    all["leftoverProcesses"] = json!(2);
    let expected = "12ms wall, 3.4s cpu, 3.0 MiB at most, 1 process killed for memory, \
                    2 processes left at its end";
    assert_eq!(summary(&all), expected);
}
