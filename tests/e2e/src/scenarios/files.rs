//! Files: copied by `ephemeral cp`, and by requests as any client sends them. On AWS's shape the same requests
//! are jobs, and the bytes go through a bucket.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::Scenario;
use crate::{
    harness::Harness,
    user::{SOON, User},
    wait::until,
};

pub(super) const SCENARIOS: [Scenario; 2] = [
    Scenario::new("files copied", |harness| Box::pin(copied(harness))),
    Scenario::new("files by requests", |harness| Box::pin(requested(harness))),
];

/// Files and directories are copied in both directions, with their content and their permission bits.
async fn copied(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let session = api.ready(&json!({})).await?.session;
    let dir = TempDir::new()?;
    let large = dir.path().join("large");
    let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(3 << 20).collect();
    fs::write(&large, &bytes)?;
    fs::set_permissions(&large, fs::Permissions::from_mode(0o750))?;
    let back = dir.path().join("back");
    cp(&api, None, &[path(&large), &format!("{session}:work/large")]).await?;
    cp(&api, None, &[&format!("{session}:work/large"), path(&back)]).await?;
    ensure!(fs::read(&back)? == bytes, "the bytes are others");
    let mode = fs::metadata(&back)?.permissions().mode() & 0o777;
    ensure!(mode == 0o750, "the mode is {mode:o}");
    let text = "from a pipe\n";
    cp(&api, Some(text), &["-", &format!("{session}:work/piped")]).await?;
    let seen = api.output_of(&session, "id -un; stat -c %a:%s work/large; cat work/piped").await?;
    ensure!(seen.ends_with(&format!("750:{}\n{text}", bytes.len())), "the shell sees {seen}");
    ensure!(cp(&api, None, &[&format!("{session}:work/piped"), "-"]).await? == text);
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("a/b"))?;
    fs::write(tree.join("a/b/c"), "deep")?;
    cp(&api, None, &["-r", path(&tree), &format!("{session}:copy")]).await?;
    cp(&api, None, &["-r", &format!("{session}:copy"), path(&dir.path().join("again"))]).await?;
    ensure!(fs::read_to_string(dir.path().join("again/a/b/c"))? == "deep");
    let missing = run(&api, None, &[&format!("{session}:nothing"), "-"]).await?;
    let error = String::from_utf8_lossy(&missing.stderr).into_owned();
    ensure!(!missing.status.success() && error.contains("no such file"), "{error}");
    api.stop(&session).await?;
    Ok(())
}

/// A list, a removal and refusals have the same responses in both places; a write that breaks off leaves the old
/// file.
async fn requested(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let session = api.ready(&json!({})).await?.session;
    api.output_of(&session, "mkdir -p d/e && echo old > d/f && chmod 600 d/f").await?;
    let files = format!("/sessions/{session}/files");
    let list = api.settled("GET", &format!("{files}/list?path=d&depth=2")).await?.expect(200)?;
    let names: Vec<_> = list.body["entries"].as_array().context("entries")?.iter().collect();
    let names: Vec<_> = names.iter().map(|entry| entry["path"].as_str()).collect();
    ensure!(names == [Some("e"), Some("f")], "{}", list.body);
    let refused = api.settled("DELETE", &format!("{files}?path=d")).await?;
    refused.problem(409, "directory_not_empty")?;
    let read_only = api.settled("DELETE", &format!("{files}?path=/etc/passwd")).await?;
    read_only.problem(403, "permission_denied")?;
    if harness.place.as_aws().is_some() {
        let never = "up_01KDVDNA00EC00000000000000";
        let put = api.settled("PUT", &format!("{files}?path=d/f&upload={never}")).await?;
        put.problem(404, "upload_not_found")?;
        ensure!(api.output_of(&session, "cat d/f").await? == "old\n");
        let direct = api.settled("PUT", &format!("{files}?path=d/f")).await?;
        direct.problem(409, "upload_required")?;
    }
    api.settled("DELETE", &format!("{files}?path=d&recursive=true")).await?.expect(204)?;
    ensure!(api.output_of(&session, "ls").await?.is_empty(), "d is removed");
    api.stop(&session).await?;
    let ended = api.settled("GET", &format!("{files}/list?path=.")).await?;
    ended.problem(410, "session_ended")?;
    Ok(())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// Runs `ephemeral cp` until it succeeds: with injected faults a copy may break off.
async fn cp(api: &User, input: Option<&str>, args: &[&str]) -> Result<String> {
    until(&format!("cp {args:?}"), SOON, async || {
        let done = run(api, input, args).await?;
        Ok(if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        } else {
            let error = String::from_utf8_lossy(&done.stderr).into_owned();
            ensure!(api.is_retrying(), "cp {args:?}: {error}");
            Err(error)
        })
    })
    .await
}

async fn run(api: &User, input: Option<&str>, args: &[&str]) -> Result<std::process::Output> {
    let (url, token) = api.credentials()?;
    let mut stdin = tempfile::tempfile()?;
    std::io::Write::write_all(&mut stdin, input.unwrap_or_default().as_bytes())?;
    std::io::Seek::rewind(&mut stdin)?;
    let program = std::env::current_exe()?.with_file_name("ephemeral");
    let mut command = Command::new(program);
    command.arg("cp").args(args).stdin(stdin).kill_on_drop(true);
    command.env("EPHEMERAL_URL", url).env("EPHEMERAL_TOKEN", token);
    Ok(command.output().await?)
}
