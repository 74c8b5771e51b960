//! Stores one file per task: its specification and its state.
//!
//! A record is replaced by rename(2) and not flushed to the disk: it must survive this process, but not
//! the host. All sandboxes end when the host goes down, so a record that is lost or truncated then
//! belongs to a task that no longer exists.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::{Desired, Status, StopCode, TaskFacts, TaskId, TaskSpec, now_ms};
use crate::uid_range::Block;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) facts: TaskFacts,
    pub(crate) spec: TaskSpec,
    /// PID 1 of the sandbox, once it was started.
    pub(crate) init: Option<Process>,
    /// The name of the sandbox, if it was made before the task: else it has the task's id.
    #[serde(default)]
    pub(crate) prepared: Option<TaskId>,
    /// The ids of the sandbox, from before its launch until it was removed, if the server is root.
    #[serde(default)]
    pub(crate) block: Option<Block>,
    /// When the task must have ended. Milliseconds since the Unix epoch.
    #[serde(default)]
    pub(crate) deadline_ms: Option<u64>,
}

/// Identifies a process even if its pid is reused later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Start time of the process in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub(crate) start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot: String,
}

impl Record {
    pub(crate) fn new(id: TaskId, spec: TaskSpec) -> Self {
        let facts = TaskFacts {
            id,
            started_by: spec.started_by.clone(),
            version: 1,
            last_status: Status::Provisioning,
            desired: Desired::Running,
            stop_code: None,
            stopped_reason: String::new(),
            exit_code: None,
            oom_killed: false,
            created_at_ms: now_ms(),
            started_at_ms: None,
            stopped_at_ms: None,
        };
        let mut record =
            Self { facts, spec, init: None, prepared: None, block: None, deadline_ms: None };
        if let Some(lifetime) = record.spec.lifetime {
            record.set_deadline(lifetime);
        }
        record
    }

    /// The task must have ended this long from now.
    pub(crate) fn set_deadline(&mut self, after: Duration) {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.deadline_ms = Some(now_ms().saturating_add(after));
    }

    /// How long from now the task may still run; zero once its deadline has passed.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.deadline_ms?.saturating_sub(now_ms())))
    }

    /// Records that the task must end, and why; an earlier reason is not replaced.
    pub(crate) fn end(&mut self, code: StopCode, reason: &str) {
        self.facts.desired = Desired::Stopped;
        if self.facts.stop_code.is_none() {
            self.facts.stop_code = Some(code);
            self.facts.stopped_reason = reason.to_owned();
        }
    }
}

/// The records of one driver.
#[derive(Debug)]
pub(crate) struct Records {
    dir: PathBuf,
}

impl Records {
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Reads all records. Removes truncated ones: their tasks ended with the host.
    pub(crate) fn load(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let whole = path.extension().is_some_and(|extension| extension == "json");
            match serde_json::from_slice(&fs::read(&path)?) {
                Ok(record) if whole => records.push(record),
                Ok(_) | Err(_) => fs::remove_file(&path)?,
            }
        }
        Ok(records)
    }

    pub(crate) fn save(&self, record: &Record) -> io::Result<()> {
        let path = self.path(&record.facts.id);
        let text = serde_json::to_vec(record).map_err(io::Error::other)?;
        replace(&path, &text)
    }

    /// Creates the file of a sandbox that has no task yet, so that its ids have an owner. Loading the
    /// records removes it: only the driver that has made the sandbox can use it.
    pub(crate) fn reserve(&self, name: &TaskId) -> io::Result<()> {
        replace(&self.path(name), b"")
    }

    pub(crate) fn remove(&self, id: &TaskId) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn path(&self, id: &TaskId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }
}

/// Replaces the file at `path` atomically: a reader sees the old content or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(&new)?.write_all(content)?;
    fs::rename(&new, path)
}

impl Process {
    /// The process that has this pid now, if any.
    pub(crate) fn current(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name, in parentheses, may contain parentheses and spaces.
        let (_, fields) = stat.rsplit_once(')')?;
        let start_ticks = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, start_ticks, boot: boot_id() })
    }

    /// Whether the process still exists: same pid, same start time, same boot.
    pub(crate) fn is_current(&self) -> bool {
        Self::current(self.pid).as_ref() == Some(self)
    }
}

fn boot_id() -> String {
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
