//! `show ID`

use serde_json::Value;

use super::Context;
use crate::{
    client::{Client, read},
    failure::{Exit, Failure},
    moment::Moment,
    table::{facts, table},
    view::{Job, Page, Session},
};

pub(super) async fn show(context: &Context, id: &str) -> Result<(), Failure> {
    let client = context.client()?;
    if id.starts_with("job_") {
        let value = client.get(&format!("/jobs/{id}")).await?;
        return context.screen.result(&value, &job(&read(&value)?, Moment::now()));
    }
    if !id.starts_with("sh_") {
        return Err(Failure::new(Exit::Usage, format!("not an id: {id}"))
            .hint("ids start with sh_ (a shell) or job_ (a job); `ephemeral ls` lists shells"));
    }
    show_session(context, &client, id).await
}

async fn show_session(context: &Context, client: &Client, id: &str) -> Result<(), Failure> {
    let value = client.get(&format!("/sessions/{id}")).await?;
    let now = Moment::now();
    context.screen.result(&value, &session(&read(&value)?, now))?;
    if context.screen.json {
        return Ok(());
    }
    let page = client.get(&format!("/sessions/{id}/jobs?limit=100")).await?;
    let values = read::<Page<Value>>(&page)?.data;
    let jobs = values.iter().map(read).collect::<Result<Vec<Job>, _>>()?;
    context.screen.line(&format!("\n{}", listing(&jobs, now)))
}

fn session(session: &Session, now: Moment) -> String {
    let relative = |at: Option<Moment>| at.map(|at| at.relative(now));
    let size = session.size.as_ref();
    let metadata: Vec<_> =
        session.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    facts(&[
        ("id", Some(session.session_id.clone())),
        ("status", Some(session.status.clone())),
        ("reason", session.reason.clone()),
        ("note", session.note.clone()),
        ("in line", session.position.map(|place| place.to_string())),
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

fn job(job: &Job, now: Moment) -> String {
    let relative = |at: Option<Moment>| at.map(|at| at.relative(now));
    facts(&[
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
        ("used", job.usage.as_ref().map(crate::view::Usage::words)),
    ])
}

fn listing(jobs: &[Job], now: Moment) -> String {
    let rows: Vec<_> = jobs
        .iter()
        .map(|job| {
            let exit = job.exit_code.map(|code| code.to_string());
            vec![
                job.job_id.clone(),
                job.kind.clone(),
                job.status.clone(),
                exit.unwrap_or_default(),
                job.created_at.relative(now),
            ]
        })
        .collect();
    table(&["JOB", "TYPE", "STATUS", "EXIT", "CREATED"], &rows)
}

#[cfg(test)]
mod tests;
