//! The cgroups of jobs, which are children of the runner's own cgroup. The cgroup of a job contains all
//! of its processes, whatever sessions and parents they have, and accounts for what they use.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sys::{self, Pid};

/// Marks the cgroups of jobs among the files of a cgroup.
const PREFIX: &str = "job.";
/// Types of file systems, of statfs(2).
const CGROUP_V1: rustix::fs::FsWord = 0x0027_e0eb;
const CGROUP_V2: rustix::fs::FsWord = 0x6367_7270;

/// The runner's own cgroup.
#[derive(Debug)]
pub(crate) struct Cgroups {
    is_v2: bool,
    /// Its directory in each hierarchy; a single one on cgroup v2.
    dirs: Vec<PathBuf>,
    /// Counts out-of-memory kills of removed cgroups for the server, because cgroup v1 does not.
    oom_log: PathBuf,
    oom_kills: u64,
}

/// The cgroup of a job.
#[derive(Debug)]
pub(crate) struct JobCgroup {
    is_v2: bool,
    dirs: Vec<PathBuf>,
}

/// What the processes of a cgroup have used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CgroupUsage {
    pub(crate) cpu: Option<Duration>,
    pub(crate) memory_peak_bytes: Option<u64>,
    pub(crate) oom_kills: Option<u64>,
}

impl Cgroups {
    /// Uses the directories of the runner's cgroup. Ends what an earlier runner left in them.
    ///
    /// # Errors
    /// The directories are not writable, or this kernel shows directories of another one: in gVisor,
    /// writing to their files would move the whole sandbox.
    pub(crate) fn open(dirs: &[PathBuf], oom_log: PathBuf) -> io::Result<Self> {
        for dir in dirs {
            let kind = rustix::fs::statfs(dir)?.f_type;
            if ![CGROUP_V1, CGROUP_V2].contains(&kind) {
                let what = format!("{} is not of this kernel's cgroups", dir.display());
                return Err(io::Error::new(io::ErrorKind::Unsupported, what));
            }
        }
        let is_v2 = dirs.iter().any(|dir| dir.join("cgroup.controllers").exists());
        let cgroups = Self { is_v2, dirs: dirs.to_vec(), oom_log, oom_kills: 0 };
        for name in cgroups.leftover() {
            let job = cgroups.job(&name);
            job.kill();
            job.remove();
        }
        let probe = cgroups.job(&format!("{PREFIX}probe"));
        probe.create()?;
        probe.remove();
        Ok(cgroups)
    }

    /// Names of cgroups of jobs.
    fn leftover(&self) -> BTreeSet<String> {
        let entries = self.dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with(PREFIX)).collect()
    }

    /// Creates the cgroup of a job.
    pub(crate) fn create(&self, job_id: &str) -> io::Result<JobCgroup> {
        let job = self.job(&format!("{PREFIX}{job_id}"));
        job.create()?;
        Ok(job)
    }

    fn job(&self, name: &str) -> JobCgroup {
        let dirs = self.dirs.iter().map(|dir| dir.join(name)).collect();
        JobCgroup { is_v2: self.is_v2, dirs }
    }

    /// Removes the cgroup of a job whose processes have ended; false if one is still ending.
    pub(crate) fn remove(&mut self, job: &JobCgroup) -> bool {
        let killed = job.usage().oom_kills.unwrap_or(0);
        if !job.remove() {
            return false;
        }
        if killed > 0 && !self.is_v2 {
            self.oom_kills += killed;
            // The server only shows this number; the job's own result has its count already.
            let _ = fs::write(&self.oom_log, self.oom_kills.to_string());
        }
        true
    }
}

impl JobCgroup {
    fn create(&self) -> io::Result<()> {
        self.dirs.iter().try_for_each(|dir| {
            fs::create_dir(dir).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", dir.display()))
            })
        })
    }

    /// The files into which a process with a single thread writes `0` to enter the cgroup. On cgroup v1
    /// `tasks` moves a single thread, which is some milliseconds faster than `cgroup.procs`.
    pub(crate) fn entrances(&self) -> io::Result<Vec<OwnedFd>> {
        let name = if self.is_v2 { "cgroup.procs" } else { "tasks" };
        let open = |dir: &PathBuf| File::options().write(true).open(dir.join(name));
        self.dirs.iter().map(|dir| Ok(open(dir)?.into())).collect()
    }

    /// The processes of the job, without zombies.
    pub(crate) fn pids(&self) -> BTreeSet<Pid> {
        let read = |dir: &PathBuf| fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        let parse = |text: String| text.lines().filter_map(|line| line.parse().ok()).collect();
        let pids: BTreeSet<Pid> =
            self.dirs.iter().map(read).flat_map::<Vec<Pid>, _>(parse).collect();
        // A process of another pid namespace is listed as 0.
        pids.into_iter().filter(|pid| *pid > 0).collect()
    }

    /// Sends SIGKILL to every process of the job.
    pub(crate) fn kill(&self) {
        if self.dirs.iter().any(|dir| fs::write(dir.join("cgroup.kill"), "1").is_ok()) {
            return;
        }
        for dir in &self.dirs {
            // A process that can't fork can't escape the kill; only one hierarchy has this file.
            let _ = write_existing(&dir.join("pids.max"), "0");
        }
        self.pids().into_iter().for_each(|pid| sys::signal(pid, libc::SIGKILL));
    }

    /// Removes the cgroup; false if it still contains processes.
    pub(crate) fn remove(&self) -> bool {
        let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        self.dirs
            .iter()
            .all(|dir| fs::remove_dir(dir).map_or_else(|error| is_gone(&error), |()| true))
    }

    pub(crate) fn usage(&self) -> CgroupUsage {
        let cpu = if self.is_v2 {
            self.counter("cpu.stat", "usage_usec").map(Duration::from_micros)
        } else {
            self.number("cpuacct.usage").map(Duration::from_nanos)
        };
        let events = if self.is_v2 { "memory.events" } else { "memory.oom_control" };
        let peak = if self.is_v2 { "memory.peak" } else { "memory.max_usage_in_bytes" };
        CgroupUsage {
            cpu,
            memory_peak_bytes: self.number(peak),
            oom_kills: self.counter(events, "oom_kill"),
        }
    }

    /// The content of a file that contains one number, in the hierarchy that has this file.
    fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }

    /// The number in the line `name N` of a file.
    fn counter(&self, file: &str, name: &str) -> Option<u64> {
        let text = self.read(file)?;
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    fn read(&self, file: &str) -> Option<String> {
        self.dirs.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok())
    }
}

fn write_existing(file: &Path, value: &str) -> io::Result<()> {
    use std::io::Write;
    File::options().write(true).open(file)?.write_all(value.as_bytes())
}
