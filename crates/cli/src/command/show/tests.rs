use insta::assert_snapshot;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::*;

fn now() -> OffsetDateTime {
    OffsetDateTime::parse("2026-01-31T12:00:00.000Z", &Rfc3339).expect("a time")
}

#[test]
fn the_known_properties_of_a_shell_are_shown() {
    let value = json!({
        "sessionId": "sh_1", "status": "ready", "image": "default", "network": "none",
        "size": {"cpu": 256, "memoryMiB": 512}, "metadata": {"course": "algebra"},
        "createdAt": "2026-01-31T11:58:00.000Z", "readyAt": "2026-01-31T11:58:01.000Z",
        "expiresAt": "2026-01-31T12:58:00.000Z", "costUsd": 0.001_234,
    });
    assert_snapshot!(session(&read(&value).expect("a session"), now()), @r"
    id        sh_1
    status    ready
    image     default
    size      256/1024 cpu, 512 MiB
    network   none
    created   2m ago
    ready     1m ago
    expires   in 58m
    cost      about $0.0012
    metadata  course=algebra
    ");
}

#[test]
fn a_job_is_shown_with_its_outcome() {
    let value = json!({
        "jobId": "job_1", "sessionId": "sh_1", "type": "execute", "status": "completed", "exitCode": 3,
        "createdAt": "2026-01-31T11:58:00.000Z", "startedAt": "2026-01-31T11:58:01.000Z",
        "finishedAt": "2026-01-31T11:58:02.000Z",
        "usage": {"wallMs": 1000, "cpuMs": 20, "maxRssBytes": 2_097_152},
        "backgroundProcesses": [{"pid": 7, "command": "sleep 60"}, {"pid": 8, "command": "top"}],
    });
    assert_snapshot!(job(&read(&value).expect("a job"), now()), @r"
    id            job_1
    shell         sh_1
    type          execute
    status        completed
    exit code     3
    created       2m ago
    started       1m ago
    finished      1m ago
    used          1.0s wall, 20ms cpu, 2.0 MiB at most
    left          7 sleep 60; 8 top
    ");
}
