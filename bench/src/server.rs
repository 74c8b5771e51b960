//! The real server in a separate process.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;

use crate::{early_end, http::Connection};

/// Time within which a server must write its URL.
const UP_WITHIN: Duration = Duration::from_secs(30);

/// A running server. Dropping it stops the process and removes its shells.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    address: SocketAddr,
    token: String,
}

/// The process of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pid: u32,
    program: PathBuf,
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
        let quota = quota.to_string();
        let warm = warm.to_string();
        let options = [&["--quota", &quota, "--warm", &warm], options].concat();
        let (process, url) = Process::start(program, dir, &options)?;
        let token = fs::read_to_string(dir.join("token"))?.trim().to_owned();
        early_end::add(process.clone());
        let address = url.trim_start_matches("http://").parse()?;
        Ok(Self { process, address, token })
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.address, &self.token)
    }

    pub(crate) fn connect_as(&self, token: &str) -> Result<Connection> {
        Connection::open(self.address, token)
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new token of this user.
    pub(crate) fn add_user(&self, program: &Path, name: &str) -> Result<String> {
        let mut command = Command::new(program);
        let added =
            command.args(["token", "add", name, "--data-dir"]).arg(&self.process.dir).output()?;
        ensure!(added.status.success(), "no token: {}", String::from_utf8_lossy(&added.stderr));
        let output = String::from_utf8_lossy(&added.stdout);
        Ok(output.lines().next().context("no token")?.trim().to_owned())
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Resident memory of the server. KiB.
    pub(crate) fn rss_kib(&self) -> Result<u64> {
        rss_kib(self.process.pid)
    }

    /// The runners of its shells, which are children of the server.
    pub(crate) fn runners(&self) -> Result<Vec<u32>> {
        runners_of(self.process.pid)
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

    /// Kills the server with SIGKILL. Its shells stay for a server that is started on the same directory.
    pub(crate) fn kill(self) -> Result<()> {
        early_end::remove(&self.process);
        signal(self.process.pid, Signal::KILL)?;
        self.process.wait()
    }

    /// Stops the server and removes the shells that it would leave to the next one.
    pub(crate) fn down(self) -> Result<()> {
        early_end::remove(&self.process);
        self.process.end()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if early_end::remove(&self.process)
            && let Err(error) = self.process.end()
        {
            eprintln!("shells of {} may be left: {error:#}", self.process.dir.display());
        }
    }
}

impl Process {
    /// Starts a server and waits for its URL.
    fn start(program: &Path, dir: &Path, options: &[&str]) -> Result<(Self, String)> {
        // A server that was killed leaves its file behind.
        let announced = dir.join("server.json");
        if announced.exists() {
            fs::remove_file(&announced)?;
        }
        let child = Command::new(program)
            .args(["up", "--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"])
            .arg(dir)
            // More sessions than a small host would permit, which use little.
            .args(["--memory-budget", "1000000", "--disk-budget", "1000000"])
            .args(["--process-budget", "1000000"])
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let pid = child.id();
        let process = Self { pid, program: program.to_owned(), dir: dir.to_owned() };
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
        Ok((process, url.to_owned()))
    }

    /// Stops the server and removes its shells.
    pub(crate) fn end(&self) -> Result<()> {
        let left = runners_of(self.pid)?;
        self.terminate()?;
        if left.is_empty() {
            return Ok(());
        }
        for pid in left {
            signal(pid, Signal::KILL)?;
        }
        // A server without a warm pool removes the remaining sandboxes.
        let (next, _) = Self::start(&self.program, &self.dir, &["--warm", "0"])?;
        next.terminate()
    }

    /// The data directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn terminate(&self) -> Result<()> {
        signal(self.pid, Signal::TERM)?;
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        waitpid(Some(pid(self.pid)?), WaitOptions::empty())?;
        Ok(())
    }
}

/// Resident memory of a process. KiB.
pub(crate) fn rss_kib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmRSS:")
}

/// The most resident memory that a process has had. KiB.
pub(crate) fn peak_rss_kib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmHWM:")
}

fn status_kib(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no such line")?;
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

fn signal(number: u32, signal: Signal) -> Result<()> {
    kill_process(pid(number)?, signal).context("sending a signal")
}

fn pid(number: u32) -> Result<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw).context("no such process id")
}
