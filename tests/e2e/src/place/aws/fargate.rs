//! The local Fargate (`tests/fargate`) as a program.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::Result;
use client::text;
use serde_json::Value;

use crate::{process, process::Program, wait::until};

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Starts the program; returns it and its URL.
pub(super) async fn start(
    root: &Path,
    dir: &Path,
    logs: &Path,
    (queue, sqs): (&str, &str),
    link: Option<&str>,
    port: u16,
) -> Result<(Program, String)> {
    let log = process::log(logs, "fargate")?;
    let mut command = Command::new(root.join("target/debug/fargate"));
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.join("fargate")).args([
        "--events-queue",
        queue,
        // As the rule of infra/lib/events.ts.
        "--event-states",
        "RUNNING,STOPPED",
        "--sqs-endpoint",
        sqs,
    ]);
    if let Some(link) = link {
        command.args(["--link-url", link]);
    }
    command.args(["--host-port", &port.to_string()]);
    let mut program = Program::start(&mut command, &log)?;
    let url = until("the local Fargate to listen", STARTS_WITHIN, async || {
        program.alive()?;
        let output = fs::read_to_string(&log)?;
        let ready = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let url = ready.filter_map(|line| text(&line, "url").ok()).next();
        Ok(url.ok_or_else(|| "no ready line in its log".to_owned()))
    })
    .await?;
    Ok((program, url))
}
