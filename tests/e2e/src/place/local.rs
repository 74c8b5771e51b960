//! One machine: `ephemeral up`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use client::http_client;
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::{
    process::{self, Program},
    traces,
    user::User,
    wait::until,
};

/// The most detailed logs of our crates, for the scenario that searches logs for secrets.
const LOG: &str = "info,handlers=debug,local=debug,adapters=debug";
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// The server on a directory of its own.
#[derive(Debug)]
pub(crate) struct Local {
    program: PathBuf,
    server: Mutex<Program>,
    dir: TempDir,
    port: u16,
    log: PathBuf,
}

impl Local {
    pub(crate) async fn start(root: &Path, logs: Option<&Path>) -> Result<Self> {
        let program = root.join("target/debug/ephemeral");
        let dir = tempfile::Builder::new().prefix("ephemeral-e2e-").tempdir()?;
        let log = process::log(logs.unwrap_or(dir.path()), "server")?;
        let port = process::free_port()?;
        let server = Mutex::new(up(&program, dir.path(), port, &log)?);
        let local = Self { program, server, dir, port, log };
        local.listening().await?;
        Ok(local)
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    pub(crate) fn user(&self, name: &str) -> Result<User> {
        let added = Command::new(&self.program)
            .args(["token", "add", name, "--data-dir"])
            .arg(data(self.dir.path()))
            .output()?;
        let output = String::from_utf8_lossy(&added.stdout);
        let token = output.lines().next().map(|line| line.trim().to_owned());
        ensure!(added.status.success(), "no token: {}", String::from_utf8_lossy(&added.stderr));
        User::new(&self.base(), Some(token.context("no token")?))
    }

    /// Kills the server with SIGKILL and starts another one on the same data directory and port.
    pub(crate) async fn kill_and_restart(&self) -> Result<()> {
        {
            let mut server = self.server.lock();
            server.kill()?;
            *server = up(&self.program, self.dir.path(), self.port, &self.log)?;
        }
        self.listening().await
    }

    pub(crate) fn logs(&self) -> Result<Vec<(String, String)>> {
        Ok(vec![("server".to_owned(), fs::read_to_string(&self.log)?)])
    }

    pub(crate) fn leave(&self) -> Result<()> {
        self.server.lock().end();
        traces::clear(self.dir.path())
    }

    async fn listening(&self) -> Result<()> {
        let http = http_client()?;
        let health = format!("http://127.0.0.1:{}/healthz", self.port);
        until("the server to listen", STARTS_WITHIN, async || {
            self.server.lock().alive()?;
            Ok(match http.get(&health).send().await {
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err(format!("{}", answer.status())),
                Err(error) => Err(error.to_string()),
            })
        })
        .await
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // `leave` has reported the error before, or the program is being interrupted.
        let _error = self.leave();
    }
}

fn up(program: &Path, dir: &Path, port: u16, log: &Path) -> Result<Program> {
    let mut command = Command::new(program);
    command
        .args(["up", "--webhook-allow-private", "--log", LOG, "--listen"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("--data-dir")
        .arg(data(dir))
        // The scenarios use little, but start more sessions than a small host would permit.
        .args(["--memory-budget", "1000000", "--disk-budget", "1000000"])
        .args(["--process-budget", "1000000"])
        .env_remove("EPHEMERAL_URL")
        .env_remove("EPHEMERAL_TOKEN")
        .env("NO_COLOR", "1");
    Program::start(&mut command, log)
}

fn data(dir: &Path) -> PathBuf {
    dir.join("data")
}

/// Finds the process with this mark in its command line, and kills PID 1 of its sandbox.
pub(super) fn kill_task(mark: &str) -> Result<()> {
    let line = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).into_owned()
    };
    let mut pid = process::pids().into_iter().find(|pid| line(*pid).contains(mark));
    while let Some(at) = pid {
        if line(at).split('\0').next().is_some_and(|program| program.ends_with("/runner")) {
            process::kill(at);
            return Ok(());
        }
        pid = process::parent(at);
    }
    anyhow::bail!("no sandbox runs a command with {mark}")
}
