//! The local Fargate (`tests/fargate`) as a program.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::Result;
use client::text;
use serde_json::Value;

use crate::{Capacity, process, process::Program, wait::until};

/// The capacity providers of on-demand and of Spot instances, by their names in the template.
pub(super) const PROVIDERS: [&str; 2] = ["OnDemandCapacity", "SpotCapacity"];
/// More instances than all scenarios need.
pub(super) const MANY: usize = 100;

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// What the program must know of its tasks.
pub(super) struct Tasks<'a> {
    /// Where runners connect to, if they do.
    pub(super) link: Option<&'a str>,
    pub(super) capacity: Capacity,
    /// A port of this host that tasks reach.
    pub(super) host_port: u16,
}

/// Starts the program; returns it and its URL.
pub(super) async fn start(
    root: &Path,
    dir: &Path,
    logs: &Path,
    (queue, sqs): (&str, &str),
    tasks: Tasks<'_>,
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
    if tasks.capacity == Capacity::Ec2 {
        for provider in PROVIDERS {
            command.args(["--instances", &format!("{provider}={MANY}")]);
        }
    }
    if let Some(link) = tasks.link {
        command.args(["--link-url", link]);
    }
    command.args(["--host-port", &tasks.host_port.to_string()]);
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
