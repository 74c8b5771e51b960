//! The run log of a session: how often each command ran, in which order, and beside which others.

use std::collections::HashMap;

use testkit::Invariant;

use super::SessionRecords;
use crate::{
    load::{Load, text},
    model::{Expected, Run},
    script::Body,
};

pub(super) fn check(load: &Load, expected: &Expected, id: &str, records: &SessionRecords) {
    let Some(known) = expected.sessions.get(id) else { return };
    let last = known.audits.iter().rev().find_map(|audit| {
        let job = records.jobs.iter().find(|job| job["jobId"] == audit.as_str())?;
        let lines = text(&job["stdout"], "text");
        lines.contains('+').then_some(lines)
    });
    let Some(log) = last else { return };
    let lines: Vec<&str> = log.lines().collect();
    let runs: Vec<&Run> = expected.runs.iter().filter(|run| run.session == id).collect();
    let mut times: HashMap<&str, usize> = HashMap::new();
    for line in &lines {
        *times.entry(line).or_default() += 1;
    }
    for run in &runs {
        count(load, run, records, &times);
    }
    order(load, &runs, &lines);
}

fn count(load: &Load, run: &Run, records: &SessionRecords, times: &HashMap<&str, usize>) {
    let (id, number) = (&run.job, run.script.number);
    let of = |sign: char| times.get(format!("{sign}{number}").as_str()).copied().unwrap_or(0);
    let (begun, ended) = (of('+'), of('-'));
    load.verdict.check(begun <= 1 && ended <= 1, Invariant::NoCommandRunsTwice, || {
        format!("{id} began {begun} times and ended {ended} times")
    });
    let Some(job) = records.jobs.iter().find(|job| job["jobId"] == id.as_str()) else { return };
    if job["status"] == "completed" && run.script.body != Body::Signalled {
        let wanted = (1, usize::from(run.script.logs_its_end()));
        load.verdict.check(
            (begun, ended) == wanted,
            Invariant::CompletedOnlyIfTheRunnerReportedIt,
            || format!("{id} is completed; it began {begun} times and ended {ended} times"),
        );
    }
    if job["startedAt"].is_null() {
        load.verdict.check(begun == 0, Invariant::CompletedOnlyIfTheRunnerReportedIt, || {
            format!("{id} ran, and its record has no startedAt")
        });
    }
}

/// Between the two lines of a serial command there is no line of another serial command.
fn order(load: &Load, runs: &[&Run], lines: &[&str]) {
    let serial: Vec<_> = runs.iter().filter(|run| run.serial).collect();
    let place = |sign: char, run: &Run| {
        let line = format!("{sign}{}", run.script.number);
        lines.iter().position(|found| **found == line)
    };
    let begun: Vec<_> = serial.iter().filter_map(|run| Some((place('+', run)?, **run))).collect();
    for pair in begun.windows(2) {
        let ((first, before), (second, after)) = (pair[0], pair[1]);
        let overlaps = place('-', before).is_some_and(|end| end > second);
        load.verdict.check(
            first < second && !overlaps,
            Invariant::SerialJobsKeepTheirOrder,
            || format!("{} started before {} ended", after.job, before.job),
        );
    }
}
