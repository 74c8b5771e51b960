//! What happened to a session, line by line.

use std::time::Duration;

use crate::{
    moment::{Moment, fine},
    table,
    view::{Event, Job},
};

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    at: Moment,
    latency: Option<Duration>,
    what: String,
    status: String,
    actor: String,
    cause: String,
}

impl Row {
    pub(crate) fn of_event(event: Event) -> Self {
        let Event { at, latency_ms, what, to, actor, cause } = event;
        let latency = Some(Duration::from_millis(latency_ms));
        Self { at, latency, what, status: to, actor, cause: cause.unwrap_or_default() }
    }

    /// The times of a job, to stand between its session's.
    pub(crate) fn of_job(job: &Job) -> Vec<Self> {
        let row = |at: Option<Moment>, what: &str, cause: String| {
            let what = format!("job {what}");
            at.map(|at| Self { at, latency: None, what, cause, ..Self::blank(at) })
        };
        let exit = job.exit_code.map_or_else(String::new, |code| format!("exit code {code}"));
        [
            row(Some(job.created_at), "accepted", String::new()),
            row(job.started_at, "started", String::new()),
            row(job.finished_at, &job.status, exit),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    const fn blank(at: Moment) -> Self {
        Self {
            at,
            latency: None,
            what: String::new(),
            status: String::new(),
            actor: String::new(),
            cause: String::new(),
        }
    }

    fn cells(&self) -> Vec<String> {
        let Self { at, latency, what, status, actor, cause } = self;
        let latency = latency.map_or_else(String::new, |span| format!("+{}", fine(span)));
        vec![at.clock(), latency, what.clone(), status.clone(), actor.clone(), cause.clone()]
    }
}

/// All rows in the order of time.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.at);
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    table::table(&["TIME (UTC)", "AFTER", "WHAT", "STATUS", "BY", "CAUSE"], &cells)
}

/// A row that comes after the table.
pub(crate) fn line(row: &Row) -> String {
    row.cells().join("  ")
}

#[cfg(test)]
mod tests;
