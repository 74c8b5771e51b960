//! The server under test, which is started and killed many times on one data directory.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use client::Server;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::watch, time::sleep};

use crate::host;

/// Time limit for a start, which takes milliseconds on an idle machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// A data directory, and the server that runs on it. Dropping the value removes everything that the
/// server made.
#[derive(Debug)]
pub(crate) struct Deployment {
    program: PathBuf,
    options: Vec<String>,
    dir: TempDir,
    log: PathBuf,
    child: Option<Child>,
    server: watch::Sender<Option<Server>>,
}

impl Deployment {
    /// An empty data directory; no server runs yet.
    pub(crate) fn new(program: PathBuf, options: &[&str], log: Option<PathBuf>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ephemeral-crash-").tempdir()?;
        let log = log.unwrap_or_else(|| dir.path().join("log"));
        File::create(&log).context("the log can't be written")?;
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let (server, _) = watch::channel(None);
        Ok(Self { program, options, dir, log, child: None, server })
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A directory for files of the test itself.
    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn server(&self) -> watch::Receiver<Option<Server>> {
        self.server.subscribe()
    }

    /// Starts the process without waiting for it.
    pub(crate) fn launch(&mut self) -> Result<()> {
        let log = OpenOptions::new().append(true).open(&self.log)?;
        let child = Command::new(&self.program)
            .args(["up", "--listen", "127.0.0.1:0", "--webhook-allow-private", "--data-dir"])
            .arg(self.data_dir())
            // The tests use little, but start more sessions than a small host would permit.
            .args(["--memory-budget", "1000000", "--disk-budget", "1000000"])
            .args(["--process-budget", "1000000"])
            .args(&self.options)
            .env_remove("EPHEMERAL_URL")
            .env_remove("EPHEMERAL_TOKEN")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} can't be run", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the launched server listens.
    pub(crate) async fn listening(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            let child = self.child.as_mut().context("the server was not launched")?;
            let pid = child.id();
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}: {}", self.last_log_lines());
            }
            if let Some(server) = announced(&self.data_dir(), pid) {
                self.server.send_replace(Some(server));
                return Ok(());
            }
            if began.elapsed() > STARTS_WITHIN {
                bail!("the server does not listen: {}", self.last_log_lines());
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Kills the server with SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.server.send_replace(None);
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Stops the server with SIGTERM, as a service manager does.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.server.send_replace(None);
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let began = Instant::now();
        while began.elapsed() < STOPS_WITHIN {
            if let Some(status) = child.try_wait()? {
                if !status.success() {
                    bail!("the server ended with {status}: {}", self.last_log_lines());
                }
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        child.kill()?;
        child.wait()?;
        bail!("the server did not end on SIGTERM")
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The lines of the log with errors or panics.
    pub(crate) fn errors(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let bad = |line: &&str| line.contains("ERROR") || line.contains("panicked");
        log.lines().filter(bad).map(str::to_owned).collect()
    }

    fn last_log_lines(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            println!("crash: the server can't be killed: {error}");
        }
        host::clear(&self.data_dir());
    }
}

/// The URL and the token that the process with this id has written; the file may be of an earlier
/// process.
fn announced(data_dir: &Path, pid: u32) -> Option<Server> {
    let text = fs::read_to_string(data_dir.join("server.json")).ok()?;
    let info: Value = serde_json::from_str(&text).ok()?;
    if info["pid"].as_u64() != Some(u64::from(pid)) {
        return None;
    }
    let token = fs::read_to_string(data_dir.join("token")).ok()?;
    let base = format!("{}/v1", info["url"].as_str()?);
    Some(Server { base, token: Some(token.trim().to_owned()) })
}
