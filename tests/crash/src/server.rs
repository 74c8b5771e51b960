//! The server under test: started, killed and started again on one data directory.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::watch, time::sleep};

use crate::host;

/// Recovery takes milliseconds; a machine under load takes longer.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// Where the server is, while it is somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) token: String,
}

/// A data directory and the server on it. Dropped, it takes everything along that the server made.
#[derive(Debug)]
pub(crate) struct World {
    program: PathBuf,
    options: Vec<String>,
    dir: TempDir,
    log: PathBuf,
    child: Option<Child>,
    address: watch::Sender<Option<Address>>,
}

impl World {
    /// Nothing runs yet.
    pub(crate) fn new(program: PathBuf, options: &[&str], log: Option<PathBuf>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ephemeral-crash-").tempdir()?;
        let log = log.unwrap_or_else(|| dir.path().join("log"));
        File::create(&log).context("the log can't be written")?;
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let (address, _) = watch::channel(None);
        Ok(Self { program, options, dir, log, child: None, address })
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A place for files of our own.
    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn address(&self) -> watch::Receiver<Option<Address>> {
        self.address.subscribe()
    }

    /// Starts the process and doesn't wait for it.
    pub(crate) fn launch(&mut self) -> Result<()> {
        let log = OpenOptions::new().append(true).open(&self.log)?;
        let child = Command::new(&self.program)
            .args(["up", "--listen", "127.0.0.1:0", "--webhook-allow-private", "--data-dir"])
            .arg(self.data_dir())
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
                bail!("the server ended with {status}: {}", self.last_words());
            }
            if let Some(address) = announced(&self.data_dir(), pid) {
                self.address.send_replace(Some(address));
                return Ok(());
            }
            if began.elapsed() > STARTS_WITHIN {
                bail!("the server does not listen: {}", self.last_words());
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.address.send_replace(None);
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks it to end, as a service manager would.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.address.send_replace(None);
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let began = Instant::now();
        while began.elapsed() < STOPS_WITHIN {
            if let Some(status) = child.try_wait()? {
                if !status.success() {
                    bail!("the server ended with {status}: {}", self.last_words());
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

    /// Lines of the log that tell of errors, without their values.
    pub(crate) fn errors(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let bad = |line: &&str| line.contains("ERROR") || line.contains("panicked");
        log.lines().filter(bad).map(str::to_owned).collect()
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            println!("crash: the server can't be killed: {error}");
        }
        host::clear(&self.data_dir());
    }
}

/// What the server with this number says of itself; an older one's file may still be there.
fn announced(data_dir: &Path, pid: u32) -> Option<Address> {
    let text = fs::read_to_string(data_dir.join("server.json")).ok()?;
    let told: Value = serde_json::from_str(&text).ok()?;
    if told["pid"].as_u64() != Some(u64::from(pid)) {
        return None;
    }
    let token = fs::read_to_string(data_dir.join("token")).ok()?;
    Some(Address { url: told["url"].as_str()?.to_owned(), token: token.trim().to_owned() })
}
