//! The timeline of a session as a table.

use std::time::Duration;

use time::OffsetDateTime;

use crate::{
    table,
    time_format::{clock, fine},
    view::{Event, Job},
};

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    at: OffsetDateTime,
    latency: Option<Duration>,
    event: String,
    status: String,
    actor: String,
    cause: String,
}

impl Row {
    pub(crate) fn of_event(event: Event) -> Self {
        let Event { at, latency_ms, kind, to, actor, cause } = event;
        let latency = Some(Duration::from_millis(latency_ms));
        Self { at, latency, event: kind, status: to, actor, cause: cause.unwrap_or_default() }
    }

    /// The times of a job, to be shown among the entries of its session.
    pub(crate) fn of_job(job: &Job) -> Vec<Self> {
        let row = |at: Option<OffsetDateTime>, event: &str, cause: String| {
            let event = format!("job {event}");
            at.map(|at| Self { at, latency: None, event, cause, ..Self::blank(at) })
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

    const fn blank(at: OffsetDateTime) -> Self {
        Self {
            at,
            latency: None,
            event: String::new(),
            status: String::new(),
            actor: String::new(),
            cause: String::new(),
        }
    }

    fn cells(&self) -> Vec<String> {
        let Self { at, latency, event, status, actor, cause } = self;
        let latency = latency.map_or_else(String::new, |span| format!("+{}", fine(span)));
        vec![clock(*at), latency, event.clone(), status.clone(), actor.clone(), cause.clone()]
    }
}

/// All rows, sorted by time.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.at);
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    table::table(&["TIME (UTC)", "AFTER", "WHAT", "STATUS", "BY", "CAUSE"], &cells)
}

/// A row printed after the table.
pub(crate) fn line(row: &Row) -> String {
    row.cells().join("  ")
}

#[cfg(test)]
mod tests;
