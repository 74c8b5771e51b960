//! Lists processes by `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use runner::protocol::Process;

use crate::sys::Pid;
use stat::{Clocks, Stat};

pub(crate) mod requests;
mod stat;

/// Longest part of a command line that is reported, in bytes.
const MAX_COMMAND_BYTES: usize = 100;

/// A process, which no later one with its pid is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId {
    pub(crate) pid: Pid,
    /// Ticks of the clock since the host was started.
    started: u64,
}

impl ProcessId {
    /// `None` if no such process exists, or only its zombie.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        Some(Self::with_parent(pid)?.0)
    }

    /// The process and the pid of its parent.
    pub(crate) fn with_parent(pid: Pid) -> Option<(Self, Pid)> {
        let stat = Stat::read(pid)?;
        Some((Self { pid, started: stat.started }, stat.parent))
    }

    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }
}

/// The processor time of a process and of its children that were waited for.
pub(crate) fn cpu_with_children(pid: Pid) -> Option<Duration> {
    Some(Duration::from_millis(Clocks::now().cpu_with_children_ms(&Stat::read(pid)?)))
}

/// All living descendants of a process, without the process itself and without zombies.
pub(crate) fn descendants(root: Pid) -> Vec<Pid> {
    let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    for (pid, parent) in all() {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = children.remove(&root).unwrap_or_default();
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(children.remove(&parent).unwrap_or_default());
        next += 1;
    }
    found
}

/// Every process of this pid namespace and its parent. A zombie has no children and can't act.
fn all() -> impl Iterator<Item = (Pid, Pid)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<Pid>().ok());
    pids.filter_map(|pid| {
        Some((pid, parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))
    })
}

/// The parent in the content of `/proc/PID/stat`, unless the process is a zombie; see proc(5).
fn parent(stat: &str) -> Option<Pid> {
    // The program's name, in parentheses, may contain parentheses and spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    fields.next().filter(|_| !matches!(state, "Z" | "X"))?.parse().ok()
}

/// Describes a process; `None` if it has ended.
pub(crate) fn describe(pid: Pid) -> Option<Process> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
    let mut command = read("cmdline")?;
    if command.is_empty() {
        command = read("comm")?;
    }
    let command = String::from_utf8_lossy(&command[..command.len().min(MAX_COMMAND_BYTES)]);
    let plain = |c: char| if c.is_control() || c == '\u{FFFD}' { ' ' } else { c };
    let command: String = command.chars().map(plain).collect();
    Some(Process { pid, command: command.trim_end().to_owned() })
}

#[cfg(test)]
mod tests;
