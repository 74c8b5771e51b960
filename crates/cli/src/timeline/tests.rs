use insta::assert_snapshot;
use serde_json::json;

use super::*;

#[test]
fn the_times_of_a_job_are_sorted_among_the_entries_of_its_session() {
    console::set_colors_enabled(false);
    let event = |at: &str, what: &str, to: &str, cause: Option<&str>| {
        let event = json!({
            "at": format!("2026-01-31T12:00:0{at}Z"), "type": what, "to": to, "actor": "workflow",
            "latencyMs": 5, "cause": cause,
        });
        Row::of_event(serde_json::from_value(event).expect("an event"))
    };
    let job = json!({
        "jobId": "job_1", "sessionId": "sh_1", "type": "execute", "status": "completed", "exitCode": 0,
        "createdAt": "2026-01-31T12:00:00.001Z", "startedAt": "2026-01-31T12:00:01.500Z",
        "finishedAt": "2026-01-31T12:00:01.510Z",
    });
    let mut rows = vec![
        event("0.000", "accepted", "queued", None),
        event("1.000", "ready", "ready", None),
        event("2.000", "stopped", "stopped", Some("command_finished")),
    ];
    rows.extend(Row::of_job(&serde_json::from_value(job).expect("a job")));

    assert_snapshot!(table(&rows), @r"
    TIME (UTC)    AFTER  WHAT           STATUS   BY        CAUSE
    12:00:00.000  +5ms   accepted       queued   workflow
    12:00:00.001         job accepted
    12:00:01.000  +5ms   ready          ready    workflow
    12:00:01.500         job started
    12:00:01.510         job completed                     exit code 0
    12:00:02.000  +5ms   stopped        stopped  workflow  command_finished
    ");
}
