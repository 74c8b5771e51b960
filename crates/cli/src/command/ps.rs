//! `ps ID`: lists what the commands of a shell run.

use serde_json::Value;
use time::OffsetDateTime;

use super::Context;
use crate::{client::read, error::CliError, table::table, time_format, view::RunningProcess};

const MIB: u64 = 1 << 20;

pub(super) async fn ps(context: &Context, id: &str) -> Result<(), CliError> {
    let list = context.client()?.get(&format!("/sessions/{id}/processes")).await?;
    if context.terminal.json {
        return context.terminal.json(&list);
    }
    let processes = list["processes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let processes = processes.iter().map(read).collect::<Result<Vec<RunningProcess>, _>>()?;
    if processes.is_empty() {
        context.terminal.message("no processes");
        return Ok(());
    }
    if list["truncated"] == Value::Bool(true) {
        context.terminal.message("there are more processes than these");
    }
    context.terminal.line(&listing(&processes, OffsetDateTime::now_utc()))
}

fn listing(processes: &[RunningProcess], now: OffsetDateTime) -> String {
    let row = |process: &RunningProcess| {
        vec![
            process.pid.to_string(),
            process.parent_pid.to_string(),
            process.user.clone(),
            time_format::relative(process.started_at, now),
            time_format::fine(process.cpu_time()),
            format!("{}M", process.memory_bytes.div_ceil(MIB)),
            process.job_id.clone(),
            command(process),
        ]
    };
    let rows: Vec<_> = processes.iter().map(row).collect();
    table(&["PID", "PPID", "USER", "STARTED", "CPU", "MEM", "JOB", "COMMAND"], &rows)
}

/// The arguments, or the name of a program that has none. A command chooses them, so nothing in them may
/// control our terminal.
fn command(process: &RunningProcess) -> String {
    let mut line = match process.arguments.as_slice() {
        [] => format!("[{}]", process.name),
        arguments => arguments.join(" "),
    };
    if process.arguments_truncated {
        line.push('…');
    }
    line.chars().map(|c| if c.is_control() || turns_text(c) { ' ' } else { c }).collect()
}

/// Whether this character makes terminals show others in another order (Unicode Annex 9).
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
