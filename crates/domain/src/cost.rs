//! What a session has used, and what that costs about. The prices are in one file, [`prices`].

use std::{iter::Sum, ops::Add, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{job::Job, size::Size};

pub mod prices;

use prices::{FUNCTION_GIB, PER_JOB, PER_SESSION, Prices};

/// A task is charged for at least this long.
const LEAST: Duration = Duration::from_mins(1);

/// What a session has used, as far as its record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// How long it had a task. A warm one counts from when it was claimed.
    pub task: Duration,
    /// Tries to get a task that came to nothing.
    pub refusals: u32,
    /// What its commands used; known once the session has ended.
    pub commands: Option<Tally>,
}

/// What commands used, all of a session's together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tally {
    /// How many ran.
    pub jobs: u32,
    /// Time from their start to their end. Milliseconds.
    pub wall_ms: u64,
    /// Processor time. Milliseconds.
    pub cpu_ms: u64,
}

/// A processor's architecture, as far as prices tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    Arm64,
    X86_64,
}

/// What a deployment's sessions are charged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pricing {
    /// Of the tasks and of the functions.
    pub architecture: Architecture,
    /// Whether each task has a public address.
    pub public_address: bool,
}

/// What a deployment calls besides the tasks, counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Calls {
    /// Requests to the API.
    pub http_requests: f64,
    /// Steps of executions.
    pub transitions: f64,
    /// Invocations of functions.
    pub invocations: f64,
    /// Memory of the functions times how long they run.
    pub gib_seconds: f64,
    /// Requests to queues: each send, receive and delete is one.
    pub queue_requests: f64,
    /// Writes of up to 1 KiB; in a transaction each counts twice.
    pub write_units: f64,
    /// Consistent reads of up to 4 KiB.
    pub read_units: f64,
    /// Logs taken in. GB.
    pub log_gb: f64,
}

impl Tally {
    /// What this job used. Nothing if it ran no command.
    pub fn of(job: &Job) -> Self {
        let usage = match job {
            Job::Finished(finished) if job.command().is_some() => finished.usage(),
            Job::Queued(_) | Job::Running(_) | Job::Finished(_) => None,
        };
        usage.map_or_else(Self::default, |usage| Self {
            jobs: 1,
            wall_ms: usage.wall_ms,
            cpu_ms: usage.cpu_ms,
        })
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            jobs: self.jobs.saturating_add(other.jobs),
            wall_ms: self.wall_ms.saturating_add(other.wall_ms),
            cpu_ms: self.cpu_ms.saturating_add(other.cpu_ms),
        }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl Pricing {
    /// What a session of this size costs about, US dollars. A task is priced by the second; what
    /// carries it and its commands by the calls that are usual for them; asked-for cheap capacity
    /// as if it had been got.
    pub fn estimate(self, size: Size, spot: bool, usage: &Usage) -> f64 {
        let tally = usage.commands.unwrap_or_default();
        let mut calls = PER_SESSION.plus(&PER_JOB.times(f64::from(tally.jobs)));
        calls.transitions += f64::from(usage.refusals);
        calls.gib_seconds += Duration::from_millis(tally.wall_ms).as_secs_f64() * FUNCTION_GIB;
        let dollars = self.task(size, spot, usage.task) + self.calls(&calls);
        (dollars * 1e6).round() / 1e6
    }

    /// What a task costs that was held for so long. US dollars.
    pub fn task(self, size: Size, spot: bool, held: Duration) -> f64 {
        if held.is_zero() {
            return 0.0;
        }
        let prices = Prices::of(self.architecture);
        let hours = held.max(LEAST).as_secs_f64() / 3600.0;
        let vcpus = f64::from(size.cpu()) / 1024.0;
        let gib = f64::from(size.memory_mib()) / 1024.0;
        let share = if spot { prices.spot_share } else { 1.0 };
        let address = if self.public_address { prices.address_hour } else { 0.0 };
        hours * ((vcpus * prices.vcpu_hour + gib * prices.gib_hour) * share + address)
    }

    /// What these calls cost. US dollars.
    pub fn calls(self, calls: &Calls) -> f64 {
        let prices = Prices::of(self.architecture);
        calls.http_requests * prices.http_request
            + calls.transitions * prices.transition
            + calls.invocations * prices.invocation
            + calls.gib_seconds * prices.function_gib_second
            + calls.queue_requests * prices.queue_request
            + calls.write_units * prices.write_unit
            + calls.read_units * prices.read_unit
            + calls.log_gb * prices.log_gb
    }
}

impl Calls {
    /// These and the others.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            http_requests: self.http_requests + other.http_requests,
            transitions: self.transitions + other.transitions,
            invocations: self.invocations + other.invocations,
            gib_seconds: self.gib_seconds + other.gib_seconds,
            queue_requests: self.queue_requests + other.queue_requests,
            write_units: self.write_units + other.write_units,
            read_units: self.read_units + other.read_units,
            log_gb: self.log_gb + other.log_gb,
        }
    }

    /// So many times these.
    #[must_use]
    pub fn times(&self, n: f64) -> Self {
        Self {
            http_requests: self.http_requests * n,
            transitions: self.transitions * n,
            invocations: self.invocations * n,
            gib_seconds: self.gib_seconds * n,
            queue_requests: self.queue_requests * n,
            write_units: self.write_units * n,
            read_units: self.read_units * n,
            log_gb: self.log_gb * n,
        }
    }
}

#[cfg(test)]
mod tests;
