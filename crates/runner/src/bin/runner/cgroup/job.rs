//! The cgroup of one job.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::limits;
use crate::sys::{self, Pid};

/// The most memory that a cgroup may still be charged for when another job gets it: pages of files that
/// the job before has read, and what the kernel charges in advance. It counts to the peak of that job.
const MAX_CHARGED_BYTES: u64 = 1 << 20;

/// The cgroup of a job.
#[derive(Debug)]
pub(crate) struct JobCgroup {
    is_v2: bool,
    dirs: Vec<PathBuf>,
    open: Option<OpenFiles>,
    /// Whether it has the limits that programs read.
    has_limits: bool,
    /// Whether its limits were lowered to end the job.
    killed: Cell<bool>,
}

/// Descriptors of the files that each job needs.
#[derive(Debug)]
struct OpenFiles {
    entrances: Vec<OwnedFd>,
    counters: Vec<(&'static str, File)>,
}

/// What the processes of a cgroup have used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CgroupUsage {
    pub(crate) cpu: Option<Duration>,
    pub(crate) memory_peak_bytes: Option<u64>,
    pub(crate) oom_kills: Option<u64>,
}

const TASKS: &str = "pids.current";
const V1_CPU: &str = "cpuacct.usage";
const V2_CPU: &str = "cpu.stat";
const V1_EVENTS: &str = "memory.oom_control";
const V2_EVENTS: &str = "memory.events";
const V1_PEAK: &str = "memory.max_usage_in_bytes";
const V2_PEAK: &str = "memory.peak";

impl JobCgroup {
    pub(super) fn new(is_v2: bool, dirs: Vec<PathBuf>) -> Self {
        Self { is_v2, dirs, open: None, has_limits: false, killed: Cell::new(false) }
    }

    pub(super) fn create(&self) -> io::Result<()> {
        self.dirs.iter().try_for_each(|dir| {
            fs::create_dir(dir).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", dir.display()))
            })
        })
    }

    /// Copies the limits of the parents, which are those of the whole shell, once.
    pub(super) fn copy_limits(&mut self, parents: &[PathBuf]) {
        if !self.has_limits {
            parents.iter().zip(&self.dirs).for_each(|(parent, dir)| limits::copy(parent, dir));
            self.has_limits = true;
        }
    }

    /// Opens the files that the next job needs, and keeps them open.
    pub(super) fn keep_open(mut self) -> io::Result<Self> {
        let names = if self.is_v2 {
            [TASKS, V2_CPU, V2_PEAK, V2_EVENTS]
        } else {
            [TASKS, V1_CPU, V1_PEAK, V1_EVENTS]
        };
        let open = |name| {
            let paths = self.dirs.iter().map(|dir: &PathBuf| dir.join(name));
            Some((name, paths.filter_map(|path| File::open(path).ok()).next()?))
        };
        let counters = names.into_iter().filter_map(open).collect();
        self.open = Some(OpenFiles { entrances: self.entrances()?, counters });
        Ok(self)
    }

    /// The files into which a process with a single thread writes `0` to enter the cgroup. On cgroup v1
    /// `tasks` moves a single thread, which is some milliseconds faster than `cgroup.procs`.
    pub(crate) fn entrances(&self) -> io::Result<Vec<OwnedFd>> {
        if let Some(open) = &self.open {
            return open.entrances.iter().map(OwnedFd::try_clone).collect();
        }
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

    /// Number of threads of the job, including zombies that were not reaped; `None` where they are not
    /// counted.
    pub(crate) fn tasks(&self) -> Option<u64> {
        self.number(TASKS)
    }

    /// Whether the job has no process any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks().map_or_else(|| self.pids().is_empty(), |tasks| tasks == 0)
    }

    /// Sends SIGKILL to every process of the job.
    pub(crate) fn kill(&self) {
        self.killed.set(true);
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

    /// Prepares an empty cgroup for another job; false if it can't be used again. The peak of memory can be
    /// reset on cgroup v1 only.
    pub(super) fn reset(&self) -> bool {
        let charged = self.number("memory.usage_in_bytes");
        if self.is_v2
            || self.open.is_none()
            || self.killed.get()
            || !self.is_empty()
            || charged.is_none_or(|bytes| bytes > MAX_CHARGED_BYTES)
        {
            return false;
        }
        self.reset_peak() && self.write_zero(V1_CPU)
    }

    /// Resets the peak of memory; false where that is impossible, as on cgroup v2.
    pub(crate) fn reset_peak(&self) -> bool {
        !self.is_v2 && self.write_zero(V1_PEAK)
    }

    fn write_zero(&self, file: &str) -> bool {
        self.dirs.iter().any(|dir| write_existing(&dir.join(file), "0").is_ok())
    }

    /// The last part of its path, which no other cgroup of this runner has.
    pub(super) fn name(&self) -> Cow<'_, str> {
        let name = self.dirs.first().and_then(|dir| dir.file_name());
        name.unwrap_or_default().to_string_lossy()
    }

    /// Number of processes that the kernel's out-of-memory killer has killed. 0 if this can't be read.
    pub(super) fn oom_kills(&self) -> u64 {
        let events = if self.is_v2 { V2_EVENTS } else { V1_EVENTS };
        self.counter(events, "oom_kill").unwrap_or(0)
    }

    pub(crate) fn usage(&self) -> CgroupUsage {
        let cpu = if self.is_v2 {
            self.counter(V2_CPU, "usage_usec").map(Duration::from_micros)
        } else {
            self.number(V1_CPU).map(Duration::from_nanos)
        };
        let (events, peak) = if self.is_v2 { (V2_EVENTS, V2_PEAK) } else { (V1_EVENTS, V1_PEAK) };
        CgroupUsage {
            cpu,
            memory_peak_bytes: self.number(peak),
            oom_kills: self.counter(events, "oom_kill"),
        }
    }

    /// The content of a file that contains one number, in the hierarchy that has this file.
    fn number(&self, file: &'static str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }

    /// The number in the line `name N` of a file.
    fn counter(&self, file: &'static str, name: &str) -> Option<u64> {
        let text = self.read(file)?;
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    fn read(&self, file: &'static str) -> Option<String> {
        let counters = self.open.iter().flat_map(|open| &open.counters);
        if let Some((_, open)) = counters.into_iter().find(|(name, _)| *name == file) {
            let mut text = [0; 1024];
            let count = open.read_at(&mut text, 0).ok()?;
            return str::from_utf8(text.get(..count)?).ok().map(str::to_owned);
        }
        self.dirs.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok())
    }
}

pub(super) fn write_existing(file: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).open(file)?.write_all(value.as_bytes())
}
