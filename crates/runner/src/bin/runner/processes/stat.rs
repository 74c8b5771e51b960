//! What `/proc/PID/stat` says; see proc(5).

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::time::{ClockId, clock_gettime};

use crate::sys::Pid;

/// The state of a process. Times are in ticks of the clock.
#[derive(Debug)]
pub(super) struct Stat {
    pub(super) name: String,
    pub(super) parent: Pid,
    /// The effective user.
    pub(super) uid: u32,
    cpu: u64,
    /// Of its children that were waited for.
    children_cpu: u64,
    /// Since the host was started.
    pub(super) started: u64,
    pub(super) resident_pages: u64,
}

impl Stat {
    /// `None` if no such process exists, or only its zombie.
    pub(super) fn read(pid: Pid) -> Option<Self> {
        let directory = format!("/proc/{pid}");
        let text = fs::read(format!("{directory}/stat")).ok()?;
        let mut stat = Self::parse(&String::from_utf8_lossy(&text))?;
        stat.uid = uid(&directory)?;
        Some(stat)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (start, rest) = text.rsplit_once(')')?;
        let (_, name) = start.split_once('(')?;
        let parent = super::parent(text)?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The state, the first of these, is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            name: name.to_owned(),
            parent,
            uid: 0,
            cpu: field(14)? + field(15)?,
            children_cpu: field(16)? + field(17)?,
            started: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

/// The effective user of a process. The owner of its directory is root for a process that can't be traced.
fn uid(directory: &str) -> Option<u32> {
    let status = fs::read(format!("{directory}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let effective = ids.and_then(|ids| ids.split_ascii_whitespace().nth(1)?.parse().ok());
    effective.or_else(|| Some(fs::metadata(directory).ok()?.uid()))
}

/// What turns ticks of the clock into times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    /// When the host was started. Milliseconds since 1970.
    host_started_ms: i64,
    ticks_per_second: u64,
}

impl Clocks {
    pub(super) fn now() -> Self {
        Self {
            host_started_ms: now(ClockId::Realtime) - now(ClockId::Boottime),
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
        }
    }

    /// When the process was started. Milliseconds since 1970.
    pub(super) fn started_ms(self, stat: &Stat) -> i64 {
        let since_boot = i64::try_from(self.milliseconds(stat.started)).unwrap_or(i64::MAX);
        self.host_started_ms.saturating_add(since_boot)
    }

    pub(super) fn cpu_ms(self, stat: &Stat) -> u64 {
        self.milliseconds(stat.cpu)
    }

    pub(super) fn cpu_with_children_ms(self, stat: &Stat) -> u64 {
        self.milliseconds(stat.cpu + stat.children_cpu)
    }

    fn milliseconds(self, ticks: u64) -> u64 {
        ticks.saturating_mul(1000) / self.ticks_per_second
    }
}

/// What a clock shows. Milliseconds.
fn now(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}
