//! Checks whether this host keeps hostile users apart: from each other, from the server, from the host.
//!
//! What can be seen is taken from two real sandboxes, as the host sees them, rather than from settings.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{Check, small_task};
use crate::cgroup::Cgroups;
use crate::driver::{Config, Driver, Egress, Image, Runtime};
use crate::host::{self, CgroupLayout};
use crate::task::{Status, TaskId};

mod kernel;

/// Longest time for two sandboxes to start, and to stop.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What cgroup v1 shows for a memory limit that is not set.
const UNLIMITED_V1: u64 = 1 << 62;

/// Checks this host and two sandboxes of a driver with this configuration, whose directory must be new.
/// A failed check is a way in which one user can harm another or the host. Leaves nothing behind.
pub fn doctor_hostile(config: &Config) -> Vec<Check> {
    let mut checks = vec![isolation(config), kernel::age(), kernel::processor()];
    checks.extend([
        kernel::modules(&config.runtime),
        cgroups(),
        image(config),
        swap(),
        network(config.egress),
    ]);
    checks.extend(two_sandboxes(config));
    checks
}

fn isolation(config: &Config) -> Check {
    let name = "isolation";
    match &config.runtime {
        Runtime::Bare => {
            Check::fail(name, "commands run on the host itself", "omit --sandbox none")
        }
        Runtime::Program(program) if program.is_gvisor() => {
            Check::ok(name, "gVisor: system calls of commands do not reach this host's kernel")
        }
        Runtime::BuiltIn | Runtime::Program(_) => Check::warn(
            name,
            "containers, which share this host's kernel",
            "use a machine without other duties, or gVisor: --runtime runsc",
        ),
    }
}

fn cgroups() -> Check {
    let name = "control groups";
    match CgroupLayout::find() {
        Ok(layout) if layout.is_v2() => Check::ok(name, "cgroup v2"),
        Ok(_) => Check::fail(
            name,
            "cgroup v1, which limits neither the memory of sockets together with the rest nor writes to disks",
            "boot with systemd.unified_cgroup_hierarchy=1",
        ),
        Err(error) => Check::fail(name, error.to_string(), "see `ephemeral doctor`"),
    }
}

fn image(config: &Config) -> Check {
    let name = "image";
    match &config.image {
        Image::Host => Check::fail(
            name,
            "host: shells read the files of this host's /usr, which its own programs use too",
            "give shells an image of their own: --image",
        ),
        Image::File(path) => Check::ok(name, path.display().to_string()),
    }
}

/// Memory that is swapped out must count against a sandbox, or one can fill the host's swap space.
fn swap() -> Check {
    let name = "swap";
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() < 2 {
        return Check::ok(name, "this host has none");
    }
    let limited = match CgroupLayout::find() {
        Ok(CgroupLayout::V1 { memory, .. }) => memory.join("memory.memsw.limit_in_bytes").exists(),
        // The root group itself never has the file.
        Ok(CgroupLayout::V2 { .. }) => !kernel::has_parameter("swapaccount=0"),
        Err(_) => false,
    };
    if limited {
        Check::ok(name, "limited for each shell")
    } else {
        Check::fail(name, "not limited", "turn swap off, or boot with swapaccount=1")
    }
}

/// What shells that ask for a network reach.
fn network(egress: Egress) -> Check {
    let name = "network";
    match (egress, host::find_pasta()) {
        (Egress::None, _) => Check::ok(name, "none"),
        (_, Err(missing)) => Check::ok(name, format!("none: {missing}")),
        (Egress::Public, Ok(_)) => Check::ok(
            name,
            "public addresses and this host's DNS servers, for shells that ask for them",
        ),
        (Egress::Any, Ok(_)) => Check::fail(
            name,
            "shells reach the private networks of this host",
            "start the server with --network public or --network none",
        ),
    }
}

/// Starts two sandboxes and looks at them from the host.
fn two_sandboxes(config: &Config) -> Vec<Check> {
    let (send, reports) = mpsc::channel();
    let opened = Driver::open(config.clone(), move |facts| drop(send.send(facts)));
    let driver = match opened {
        Ok(driver) => driver,
        Err(error) => {
            return vec![Check::fail("users", error.to_string(), "see `ephemeral doctor`")];
        }
    };
    let started: Result<Vec<TaskId>, _> =
        ["one", "two"].into_iter().map(|token| driver.run(small_task(token))).collect();
    let wait_for = |wanted: Status| {
        let deadline = Instant::now() + TIMEOUT;
        while driver.list(None).iter().any(|facts| facts.last_status < wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            if reports.recv_timeout(left).is_err() {
                return;
            }
        }
    };
    wait_for(Status::Running);
    let checks = match started {
        Ok(tasks) => vec![users(&driver, &tasks), budgets(&driver.inner.cgroups, &tasks)],
        Err(error) => vec![Check::fail("users", error.to_string(), "see `ephemeral doctor`")],
    };
    for facts in driver.list(None) {
        // Fails only for an unknown task.
        let _ = driver.stop(&facts.id, "checked");
    }
    wait_for(Status::Stopped);
    checks
}

/// Whether PID 1 and the commands of two sandboxes are users of this host that nobody else is.
fn users(driver: &Driver, tasks: &[TaskId]) -> Check {
    let name = "users";
    let remedy = "reserve a range of user ids for shells: --uid-range";
    let ids: Option<Vec<Vec<HostIds>>> = tasks.iter().map(|id| host_ids(driver, id)).collect();
    match ids.as_deref() {
        Some([one, two]) => {
            let both = || one.iter().chain(two);
            if both().any(|ids| ids.contains(0)) {
                Check::fail(
                    name,
                    "PID 1 of a shell is root on this host, and all shells are one user",
                    remedy,
                )
            } else if one.iter().any(|ids| two.iter().any(|other| ids.overlaps(other))) {
                Check::fail(name, "all shells are the same users of this host", remedy)
            } else {
                Check::ok(name, "each shell has users of its own")
            }
        }
        _ => Check::fail(name, "two shells could not be started", "see `ephemeral doctor`"),
    }
}

/// A range of this host's user ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HostIds {
    first: u64,
    count: u64,
}

impl HostIds {
    fn contains(self, id: u64) -> bool {
        self.first <= id && id - self.first < self.count
    }

    fn overlaps(self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// A line of `/proc/PID/uid_map`: the first id inside, the first one outside, their number.
    fn parse(line: &str) -> Option<Self> {
        let numbers: Option<Vec<u64>> =
            line.split_ascii_whitespace().map(|number| number.parse().ok()).collect();
        match numbers?.as_slice() {
            &[_, first, count] => Some(Self { first, count }),
            _ => None,
        }
    }
}

/// The ids that processes of a running sandbox may have.
fn host_ids(driver: &Driver, id: &TaskId) -> Option<Vec<HostIds>> {
    let pid = driver.inner.init_pid(id)?;
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).ok()?;
    map.lines().map(HostIds::parse).collect()
}

/// Whether all sandboxes together have limits: each may use only its own, but there may be many.
fn budgets(cgroups: &Cgroups, tasks: &[TaskId]) -> Check {
    let name = "budgets";
    let parents: Vec<_> = tasks
        .iter()
        .flat_map(|id| cgroups.of(id).dirs())
        .filter_map(|dir| dir.parent().map(Path::to_owned))
        .collect();
    let limited = |files: [&str; 2]| {
        let mut paths = parents.iter().flat_map(|dir| files.map(|file| dir.join(file)));
        paths.any(|path| is_limit(&fs::read_to_string(path).unwrap_or_default()))
    };
    let missing: Vec<&str> = [
        ("memory", limited(["memory.max", "memory.limit_in_bytes"])),
        ("processes", limited(["pids.max", "pids.max"])),
    ]
    .into_iter()
    .filter_map(|(what, limited)| (!limited).then_some(what))
    .collect();
    if missing.is_empty() {
        Check::ok(name, "all shells together have limits of memory and processes")
    } else {
        let detail = format!("all shells together have no limit of {}", missing.join(" and "));
        Check::fail(name, detail, "give few users access, and lower --quota")
    }
}

fn is_limit(value: &str) -> bool {
    value.trim().parse::<u64>().is_ok_and(|value| value < UNLIMITED_V1)
}

#[cfg(test)]
mod tests;
