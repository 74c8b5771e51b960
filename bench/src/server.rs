//! The real server in a separate process.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http::Connection;

/// Time within which a server must write its URL.
const UP_WITHIN: Duration = Duration::from_secs(30);

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    token: String,
    dir: PathBuf,
}

impl Server {
    /// Starts a server on this data directory and waits until it responds.
    pub(crate) fn up(
        program: &Path,
        dir: &Path,
        quota: u32,
        warm: u32,
        options: &[&str],
    ) -> Result<Self> {
        // A server that was killed leaves its file behind.
        let announced = dir.join("server.json");
        if announced.exists() {
            fs::remove_file(&announced)?;
        }
        let child = Command::new(program)
            .args(["up", "--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"])
            .arg(dir)
            .args(["--quota", &quota.to_string(), "--warm", &warm.to_string()])
            // More sessions than a small host would permit, which use little.
            .args(["--memory-budget", "1000000", "--disk-budget", "1000000"])
            .args(["--process-budget", "1000000"])
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let begun = Instant::now();
        let text = loop {
            match fs::read_to_string(&announced) {
                Ok(text) => break text,
                Err(_) => ensure!(begun.elapsed() < UP_WITHIN, "the server did not come up"),
            }
            sleep(Duration::from_millis(1));
        };
        let running: Value = serde_json::from_str(&text)?;
        let url = running["url"].as_str().context("no url in server.json")?;
        let address = url.trim_start_matches("http://").parse()?;
        let token = fs::read_to_string(dir.join("token"))?.trim().to_owned();
        Ok(Self { child, address, token, dir: dir.to_owned() })
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.address, &self.token)
    }

    pub(crate) fn connect_as(&self, token: &str) -> Result<Connection> {
        Connection::open(self.address, token)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new token of this user.
    pub(crate) fn add_user(&self, program: &Path, name: &str) -> Result<String> {
        let mut command = Command::new(program);
        let added = command.args(["token", "add", name, "--data-dir"]).arg(&self.dir).output()?;
        ensure!(added.status.success(), "no token: {}", String::from_utf8_lossy(&added.stderr));
        let output = String::from_utf8_lossy(&added.stdout);
        Ok(output.lines().next().context("no token")?.trim().to_owned())
    }

    /// Resident memory of the server. KiB.
    pub(crate) fn rss_kib(&self) -> Result<u64> {
        rss_kib(self.child.id())
    }

    /// The runners of its shells, which are children of the server.
    pub(crate) fn runners(&self) -> Result<Vec<u32>> {
        runners_of(self.child.id())
    }

    /// Waits until the server has this many shells.
    pub(crate) fn await_runners(&self, target: usize) -> Result<()> {
        let begun = Instant::now();
        while self.runners()?.len() != target {
            ensure!(begun.elapsed() < Duration::from_secs(60), "there are never {target} shells");
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Kills the server with SIGKILL.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops the server and removes the shells that it would leave to the next one.
    pub(crate) fn down(mut self, program: &Path) -> Result<()> {
        let left = self.runners()?;
        terminate(&mut self.child)?;
        if left.is_empty() {
            return Ok(());
        }
        for pid in left {
            signal(pid, Signal::KILL)?;
        }
        // A server without a warm pool removes the remaining sandboxes.
        let mut next = Self::up(program, &self.dir, 0, 0, &[])?;
        terminate(&mut next.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process. KiB.
pub(crate) fn rss_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
    Ok(kib.parse()?)
}

fn runners_of(parent: u32) -> Result<Vec<u32>> {
    let names =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = names.filter_map(|name| name.parse().ok());
    Ok(pids.filter(|pid| is_runner(*pid) && parent_of(*pid) == Some(parent)).collect())
}

fn is_runner(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.starts_with(b"/opt/ephemeral/runner\0"))
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn terminate(child: &mut Child) -> Result<()> {
    signal(child.id(), Signal::TERM)?;
    child.wait()?;
    Ok(())
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no such process id")?;
    kill_process(pid, signal).context("sending a signal")
}
