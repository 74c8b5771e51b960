//! What the commands of a session signed: how often each ran, in which order, and beside what.

use std::collections::HashMap;

use super::Told;
use crate::{
    book::{Pages, Run},
    load::{Load, text},
    script::Body,
    verdict::Invariant,
};

pub(super) fn check(load: &Load, pages: &Pages, id: &str, told: &Told) {
    let Some(known) = pages.sessions.get(id) else { return };
    let last = known.audits.iter().rev().find_map(|audit| {
        let job = told.jobs.iter().find(|job| job["jobId"] == audit.as_str())?;
        let lines = text(&job["stdout"], "text");
        lines.contains('+').then_some(lines)
    });
    let Some(signed) = last else { return };
    let lines: Vec<&str> = signed.lines().collect();
    let runs: Vec<&Run> = pages.runs.iter().filter(|run| run.session == id).collect();
    let mut times: HashMap<&str, usize> = HashMap::new();
    for line in &lines {
        *times.entry(line).or_default() += 1;
    }
    for run in &runs {
        count(load, run, told, &times);
    }
    order(load, &runs, &lines);
}

fn count(load: &Load, run: &Run, told: &Told, times: &HashMap<&str, usize>) {
    let (id, number) = (&run.job, run.script.number);
    let of = |sign: char| times.get(format!("{sign}{number}").as_str()).copied().unwrap_or(0);
    let (begun, ended) = (of('+'), of('-'));
    load.verdict.check(begun <= 1 && ended <= 1, Invariant::NoCommandRunsTwice, || {
        format!("{id} began {begun} times and ended {ended} times")
    });
    let Some(job) = told.jobs.iter().find(|job| job["jobId"] == id.as_str()) else { return };
    if job["status"] == "completed" && run.script.body != Body::Signalled {
        let wanted = (1, usize::from(run.script.signs_off()));
        load.verdict.check(
            (begun, ended) == wanted,
            Invariant::CompletedOnlyIfTheRunnerSaidSo,
            || format!("{id} is completed; it began {begun} times and ended {ended} times"),
        );
    }
    if job["startedAt"].is_null() {
        load.verdict.check(begun == 0, Invariant::CompletedOnlyIfTheRunnerSaidSo, || {
            format!("{id} ran, and its record says that it never began")
        });
    }
}

/// Between the two signatures of a serial command no other serial command signs.
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
            || format!("{} signed before {} was done", after.job, before.job),
        );
    }
}
