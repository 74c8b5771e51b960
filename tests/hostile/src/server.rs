//! The real server on a directory of its own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::Mutex,
};

use crate::user::User;

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    child: Child,
    dir: TempDir,
    pub(crate) address: SocketAddr,
    users: Mutex<Vec<User>>,
}

impl Server {
    /// Starts a server with these options of `ephemeral up`.
    pub(crate) async fn start(program: &Path, options: &[&str]) -> Result<Self> {
        Self::start_with_open_files(program, options, 4096).await
    }

    /// Starts a server that may have this many open files.
    pub(crate) async fn start_with_open_files(
        program: &Path,
        options: &[&str],
        open_files: u32,
    ) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ephemeral-hostile-").tempdir()?;
        let log = fs::File::create(dir.path().join("log"))?;
        let mut command = Command::new("/bin/sh");
        // The hard limit too: a server raises its soft limit.
        command.arg("-c").arg(format!("ulimit -n {open_files} && exec \"$0\" \"$@\"")).arg(program);
        command.args(["up", "--listen", "127.0.0.1:0", "--log", "trace", "--data-dir"]);
        // A disk that others have filled must not refuse the attackers' shells, which use little.
        command.arg(dir.path().join("data")).args(["--disk-budget", "1000000"]);
        command.args(options).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.env_remove("EPHEMERAL_URL").env_remove("EPHEMERAL_TOKEN").env("NO_COLOR", "1");
        let mut child = command.spawn().context("the server can't be run")?;
        let address = Self::announced(&mut child, dir.path()).await?;
        Ok(Self { program: program.to_owned(), child, dir, address, users: Mutex::default() })
    }

    /// The address that the server writes to a file when it listens.
    async fn announced(child: &mut Child, dir: &Path) -> Result<SocketAddr> {
        let began = Instant::now();
        loop {
            if let Ok(text) = fs::read_to_string(dir.join("data/server.json")) {
                let running: Value = serde_json::from_str(&text)?;
                let url = running["url"].as_str().context("no url in server.json")?;
                let address = url.split_once("://").map_or(url, |(_, address)| address);
                return Ok(address.parse()?);
            }
            let log = || fs::read_to_string(dir.join("log")).unwrap_or_default();
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}: {}", log());
            }
            ensure!(began.elapsed() < STARTS_WITHIN, "the server did not start: {}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A new user of the server.
    pub(crate) async fn user(&self, name: &str) -> Result<User> {
        let mut command = Command::new(&self.program);
        command.args(["token", "add", name, "--data-dir"]).arg(self.dir.path().join("data"));
        let added = command.output().await?;
        ensure!(added.status.success(), "no token: {}", String::from_utf8_lossy(&added.stderr));
        let output = String::from_utf8_lossy(&added.stdout);
        let token = output.lines().next().context("no token")?.trim().to_owned();
        let user = self.bearer(Some(token))?;
        self.users.lock().await.push(user.clone());
        Ok(user)
    }

    /// A client with this token, or without one.
    pub(crate) fn bearer(&self, token: Option<String>) -> Result<User> {
        User::new(&format!("http://{}/v1", self.address), token)
    }

    /// All that the server has logged.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.path().join("log"))?)
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the server; its shells go on.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Stops what attacks have left, then ends the server as a service manager does.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let mut stopped = Ok(());
        for user in self.users.lock().await.iter() {
            stopped = stopped.and(user.stop_all().await);
        }
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.context("the server has ended")?, Signal::TERM)?;
        tokio::time::timeout(STOPS_WITHIN, self.child.wait()).await.context("SIGTERM")??;
        stopped
    }

    /// The runners of this server's shells.
    fn runners(&self) -> Vec<Pid> {
        let own = self.dir.path().to_string_lossy().into_owned();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let read = |path: PathBuf| fs::read(path).unwrap_or_default();
        let runners = entries.filter(|entry| {
            read(entry.path().join("cmdline")).starts_with(b"/opt/ephemeral/runner\0")
                && String::from_utf8_lossy(&read(entry.path().join("mountinfo"))).contains(&own)
        });
        runners
            .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
            .collect()
    }
}

/// Ends the shells that an attack has left, if it succeeded or was interrupted.
impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.start_kill();
        for runner in self.runners() {
            let _ = kill_process(runner, Signal::KILL);
        }
    }
}
