//! `show ID`: prints the details of a shell or a job.

use serde_json::Value;
use time::OffsetDateTime;

use super::Context;
use crate::{
    client::{Client, read},
    error::{CliError, Exit},
    table::{properties, table},
    time_format::relative,
    view::{Job, Page, Process, Session},
};

pub(super) async fn show(context: &Context, id: &str) -> Result<(), CliError> {
    let client = context.client()?;
    if id.starts_with("job_") {
        let value = client.get(&format!("/jobs/{id}")).await?;
        return context.terminal.result(&value, &job(&read(&value)?, OffsetDateTime::now_utc()));
    }
    if !id.starts_with("sh_") {
        return Err(CliError::new(Exit::Usage, format!("invalid id: {id}"))
            .hint("ids start with sh_ (a shell) or job_ (a job); `ephemeral ls` lists shells"));
    }
    show_session(context, &client, id).await
}

async fn show_session(context: &Context, client: &Client, id: &str) -> Result<(), CliError> {
    let value = client.get(&format!("/sessions/{id}")).await?;
    let now = OffsetDateTime::now_utc();
    context.terminal.result(&value, &session(&read(&value)?, now))?;
    if context.terminal.json {
        return Ok(());
    }
    let page = client.get(&format!("/sessions/{id}/jobs?limit=100")).await?;
    let values = read::<Page<Value>>(&page)?.data;
    let jobs = values.iter().map(read).collect::<Result<Vec<Job>, _>>()?;
    context.terminal.line(&format!("\n{}", listing(&jobs, now)))
}

fn session(session: &Session, now: OffsetDateTime) -> String {
    let relative = |at: Option<OffsetDateTime>| at.map(|at| relative(at, now));
    let size = session.size.as_ref();
    let metadata: Vec<_> =
        session.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    properties(&[
        ("id", Some(session.session_id.clone())),
        ("status", Some(session.status.clone())),
        ("reason", session.reason.clone()),
        ("note", session.note.clone()),
        ("position", session.position.map(|position| position.to_string())),
        ("image", session.image.clone()),
        ("size", size.map(|size| format!("{}/1024 cpu, {} MiB", size.cpu, size.memory_mib))),
        ("network", session.network.clone()),
        ("created", relative(Some(session.created_at))),
        ("ready", relative(session.ready_at)),
        ("expires", relative(session.expires_at).filter(|_| session.ended_at.is_none())),
        ("ended", relative(session.ended_at)),
        ("cost", session.cost_usd.map(|dollars| format!("about ${dollars:.4}"))),
        ("metadata", Some(metadata.join(" ")).filter(|text| !text.is_empty())),
    ])
}

fn job(job: &Job, now: OffsetDateTime) -> String {
    let relative = |at: Option<OffsetDateTime>| at.map(|at| relative(at, now));
    properties(&[
        ("id", Some(job.job_id.clone())),
        ("shell", Some(job.session_id.clone())),
        ("type", Some(job.kind.clone())),
        ("status", Some(job.status.clone())),
        ("exit code", job.exit_code.map(|code| code.to_string())),
        ("signal", job.signal.map(|signal| signal.to_string())),
        ("error", job.error.as_ref().map(|error| format!("{} ({})", error.message, error.code))),
        ("created", relative(Some(job.created_at))),
        ("started", relative(job.started_at)),
        ("finished", relative(job.finished_at)),
        ("stdout", job.stdout.cut()),
        ("stderr", job.stderr.cut()),
        ("used", job.usage.as_ref().map(crate::view::Usage::summary)),
        ("shared shell", job.shell.as_ref().map(crate::view::SharedShell::summary)),
        ("left", left_running(&job.background_processes)),
    ])
}

fn left_running(processes: &[Process]) -> Option<String> {
    let each = processes.iter().map(|process| format!("{} {}", process.pid, process.command));
    Some(each.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
}

fn listing(jobs: &[Job], now: OffsetDateTime) -> String {
    let rows: Vec<_> = jobs
        .iter()
        .map(|job| {
            let exit = job.exit_code.map(|code| code.to_string());
            vec![
                job.job_id.clone(),
                job.kind.clone(),
                job.status.clone(),
                exit.unwrap_or_default(),
                relative(job.created_at, now),
            ]
        })
        .collect();
    table(&["JOB", "TYPE", "STATUS", "EXIT", "CREATED"], &rows)
}

#[cfg(test)]
mod tests;
