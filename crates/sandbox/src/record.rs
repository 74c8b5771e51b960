//! One file per task: what was asked, and what came of it.
//!
//! A record is replaced by rename and not flushed to the disk: it must outlive this process, not
//! the host. When the host goes down its sandboxes go with it, and a record that is lost or torn
//! then is one of a task that no longer exists.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::task::{Desired, Status, StopCode, TaskFacts, TaskId, TaskSpec, now_ms};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) facts: TaskFacts,
    pub(crate) spec: TaskSpec,
    /// Since the container was started.
    pub(crate) init: Option<Process>,
}

/// A process that can be told from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`.
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
        Self { facts, spec, init: None }
    }

    /// Settles why the task ends; the first reason stays.
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

    /// All that can be read. A torn one is removed: its task ended with the host.
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

/// Puts `content` at `path` in one step; a reader sees the old file or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, content)?;
    fs::rename(&new, path)
}

impl Process {
    /// The process of this number as it is now, if there is one.
    pub(crate) fn current(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; what follows the last one is plain.
        let (_, fields) = stat.rsplit_once(')')?;
        let start_ticks = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, start_ticks, boot: boot_id() })
    }

    /// Whether it still runs: same number, same start, same boot.
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
