//! Jobs: each has one final state, which fits its command.

use serde_json::Value;
use testkit::Invariant;

use super::{SessionRecords, timeline::millis};
use crate::{
    load::{Load, text},
    model::{Expected, Run, Session, is_final},
    script::Body,
};

pub(super) fn check(load: &Load, expected: &Expected, id: &str, records: &SessionRecords) {
    for job in &records.jobs {
        let name = text(job, "jobId");
        load.verdict.check(is_final(job), Invariant::EachJobEndsInOneFinalState, || {
            format!("{name} is {}", job["status"])
        });
        load.verdict.check(
            job["finishedAt"].is_string(),
            Invariant::EachJobEndsInOneFinalState,
            || format!("{name} has no finishedAt"),
        );
        if job["type"] == "stop" {
            load.verdict.check(
                job["status"] == "completed",
                Invariant::EachJobEndsInOneFinalState,
                || format!("{name}, a stop, is {}", job["status"]),
            );
        }
    }
    let known = expected.sessions.get(id).cloned().unwrap_or_default();
    for run in expected.runs.iter().filter(|run| run.session == id) {
        if let Some(job) = records.jobs.iter().find(|job| job["jobId"] == run.job.as_str()) {
            outcome(load, run, job, &known);
        }
    }
    order(load, expected, id, records);
}

fn outcome(load: &Load, run: &Run, job: &Value, known: &Session) {
    let Run { job: id, script, cancel_asked, .. } = run;
    let status = text(job, "status");
    let code = &job["error"]["code"];
    let fits = match status.as_str() {
        "completed" => !matches!(script.body, Body::TooLong | Body::Endless),
        "timed_out" => script.body == Body::TooLong,
        "cancelled" => *cancel_asked || known.cut_short || known.killed,
        // A job may be lost only if the end of its session cut it off.
        "lost" => known.cut_short || known.killed,
        "failed" => known.killed && code == "task_exited",
        _ => false,
    };
    load.verdict.check(fits, Invariant::EachJobEndsInOneFinalState, || {
        format!("{id} ({:?}) is {status}, {code}", script.body)
    });
    if status != "completed" {
        return;
    }
    let (exit, signal) = (job["exitCode"].as_i64(), job["signal"].as_i64());
    let wanted = match script.signal() {
        Some(signal) => (None, Some(signal)),
        None => (Some(i64::from(script.code)), None),
    };
    load.verdict.check(
        (exit, signal) == wanted,
        Invariant::CompletedOnlyIfTheRunnerReportedIt,
        || format!("{id} ({:?}) ended with {exit:?}, signal {signal:?}", script.body),
    );
    check_output(load, run, job);
}

/// The output of the job is the output of its command, without repetitions or gaps.
fn check_output(load: &Load, run: &Run, job: &Value) {
    let (id, stdout) = (&run.job, text(&job["stdout"], "text"));
    let times: u64 = stdout.lines().next().and_then(|line| line.parse().ok()).unwrap_or(0);
    // A signal may arrive before the first line.
    let fits = times == 1 || times == 0 && run.script.body == Body::Signalled;
    load.verdict.check(fits, Invariant::NoCommandRunsTwice, || {
        format!("{id} found itself started {times} times")
    });
    let whole = match run.script.stdout() {
        Some(wanted) => wanted == stdout,
        None if run.script.body == Body::Ticks => {
            let ticks = stdout.lines().skip(1).enumerate();
            let count = stdout.lines().count().saturating_sub(1).to_string();
            ticks.into_iter().all(|(i, line)| line == format!("tick {i}"))
                && text(&job["stderr"], "text").trim() == count
        }
        None => true,
    };
    load.verdict.check(whole, Invariant::CompletedOnlyIfTheRunnerReportedIt, || {
        format!("{id} ({:?}): its {} bytes are not what it wrote", run.script.body, stdout.len())
    });
}

/// By their records, serial commands ran one after the other in order of acceptance.
fn order(load: &Load, expected: &Expected, id: &str, records: &SessionRecords) {
    let serial = expected.runs.iter().filter(|run| run.session == id && run.serial);
    let spans = serial.filter_map(|run| {
        let job = records.jobs.iter().find(|job| job["jobId"] == run.job.as_str())?;
        let at = |field: &str| job[field].as_str().and_then(millis);
        Some((&run.job, at("startedAt")?, at("finishedAt")?))
    });
    let spans: Vec<_> = spans.collect();
    for pair in spans.windows(2) {
        let ((before, _, ended), (after, begun, _)) = (pair[0], pair[1]);
        load.verdict.check(begun >= ended, Invariant::SerialJobsKeepTheirOrder, || {
            format!("{after} began {} ms before the end of {before}", ended - begun)
        });
    }
}
