//! Jobs: one final state each, and one that fits what the command did.

use serde_json::Value;

use super::{Told, timeline::millis};
use crate::{
    book::{Pages, Run, Session, is_final},
    load::{Load, text},
    script::Body,
    verdict::Invariant,
};

pub(super) fn check(load: &Load, pages: &Pages, id: &str, told: &Told) {
    for job in &told.jobs {
        let name = text(job, "jobId");
        load.verdict.check(is_final(job), Invariant::EachJobEndsInOneFinalState, || {
            format!("{name} is {}", job["status"])
        });
        load.verdict.check(
            job["finishedAt"].is_string(),
            Invariant::EachJobEndsInOneFinalState,
            || format!("{name} has no time of its end"),
        );
        if job["type"] == "stop" {
            load.verdict.check(
                job["status"] == "completed",
                Invariant::EachJobEndsInOneFinalState,
                || format!("{name}, a stop, is {}", job["status"]),
            );
        }
    }
    let known = pages.sessions.get(id).cloned().unwrap_or_default();
    for run in pages.runs.iter().filter(|run| run.session == id) {
        if let Some(job) = told.jobs.iter().find(|job| job["jobId"] == run.job.as_str()) {
            outcome(load, run, job, &known);
        }
    }
    order(load, pages, id, told);
}

fn outcome(load: &Load, run: &Run, job: &Value, known: &Session) {
    let Run { job: id, script, cancel_asked, .. } = run;
    let status = text(job, "status");
    let code = &job["error"]["code"];
    let fits = match status.as_str() {
        "completed" => !matches!(script.body, Body::TooLong | Body::Endless),
        "timed_out" => script.body == Body::TooLong,
        "cancelled" => *cancel_asked || known.cut_short || known.killed,
        // Nobody may lose what no end of a session cut off.
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
    load.verdict.check((exit, signal) == wanted, Invariant::CompletedOnlyIfTheRunnerSaidSo, || {
        format!("{id} ({:?}) ended with {exit:?}, signal {signal:?}", script.body)
    });
    said(load, run, job);
}

/// Its output is what it wrote: nothing twice, nothing missing.
fn said(load: &Load, run: &Run, job: &Value) {
    let (id, stdout) = (&run.job, text(&job["stdout"], "text"));
    let times: u64 = stdout.lines().next().and_then(|line| line.parse().ok()).unwrap_or(0);
    // A signal may be faster than the first word.
    let fits = times == 1 || times == 0 && run.script.body == Body::Signalled;
    load.verdict.check(fits, Invariant::NoCommandRunsTwice, || {
        format!("{id} saw that it had begun {times} times")
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
    load.verdict.check(whole, Invariant::CompletedOnlyIfTheRunnerSaidSo, || {
        format!("{id} ({:?}): its {} bytes are not what it wrote", run.script.body, stdout.len())
    });
}

/// By their records, serial commands ran one after the other as they were accepted.
fn order(load: &Load, pages: &Pages, id: &str, told: &Told) {
    let serial = pages.runs.iter().filter(|run| run.session == id && run.serial);
    let spans = serial.filter_map(|run| {
        let job = told.jobs.iter().find(|job| job["jobId"] == run.job.as_str())?;
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
