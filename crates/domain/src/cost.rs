//! The resources that a session has used, and an estimate of their cost. The prices are in [`prices`].

use std::{iter::Sum, ops::Add, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{job::Job, size::Size};

pub mod prices;

use prices::{FOLLOW_SECONDS, OBJECT_DAYS, PER_JOB, PER_SESSION, Prices, VISIT_SHARE, WORKER_GIB};

/// The shortest time that a task is charged for.
const MINIMUM_CHARGE: Duration = Duration::from_mins(1);

/// The resources that a session has used, as far as its record knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// How long the session had a task; a warm task counts from its claim.
    pub task: Duration,
    /// How many attempts to get a task were refused.
    pub refusals: u32,
    /// What the session's commands used; known once the session has ended.
    pub commands: Option<Tally>,
}

/// The sum of what a session's commands used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tally {
    /// How many commands ran.
    pub jobs: u32,
    /// Milliseconds from the start of each command to its end, added up.
    pub wall_ms: u64,
    /// CPU time in milliseconds.
    pub cpu_ms: u64,
}

/// The CPU architectures that have different prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    Arm64,
    X86_64,
}

/// The choices of a deployment that the cost of its sessions depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pricing {
    /// The architecture of the tasks and of the functions.
    pub architecture: Architecture,
    /// Whether each task has a public IPv4 address.
    pub public_address: bool,
}

/// The calls to AWS that a deployment makes, besides its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Calls {
    /// Requests to the API.
    pub http_requests: f64,
    /// State transitions of executions.
    pub transitions: f64,
    /// Invocations of functions.
    pub invocations: f64,
    /// Memory of the functions in GiB times the seconds that they run.
    pub gib_seconds: f64,
    /// Requests to queues; each send, receive and delete is one.
    pub queue_requests: f64,
    /// Write request units: one for each KiB written, two in a transaction.
    pub write_units: f64,
    /// Read request units: one for each 4 KiB read consistently.
    pub read_units: f64,
    /// Events put on the bus.
    pub bus_events: f64,
    /// Frames of up to 32 KiB over the connections of runners, in both directions.
    pub socket_messages: f64,
    /// Minutes for which runners are connected.
    pub connection_minutes: f64,
    /// Logs ingested, in GB.
    pub log_gb: f64,
}

impl Tally {
    /// What this job's command used; nothing if it ran no command or has not finished.
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
    /// Estimates the cost of a session of this size in US dollars. A task is priced by the second, and
    /// the other services by the typical number of calls for a session and for a command. With `spot`,
    /// the task is priced as Spot capacity, although the provider may have used other capacity.
    pub fn estimate(self, size: Size, spot: bool, usage: &Usage) -> f64 {
        let tally = usage.commands.unwrap_or_default();
        let mut calls = PER_SESSION.plus(&PER_JOB.times(f64::from(tally.jobs)));
        calls.transitions += f64::from(usage.refusals);
        calls.connection_minutes += usage.task.as_secs_f64() / 60.0;
        let ran = Duration::from_millis(tally.wall_ms).as_secs_f64();
        let followed = ran.min(f64::from(tally.jobs) * FOLLOW_SECONDS);
        calls.gib_seconds += (followed + (ran - followed) * VISIT_SHARE) * WORKER_GIB;
        let dollars = self.task(size, spot, usage.task) + self.calls(&calls);
        (dollars * 1e6).round() / 1e6
    }

    /// The cost of a task that was held for this time, in US dollars.
    pub fn task(self, size: Size, spot: bool, held: Duration) -> f64 {
        if held.is_zero() {
            return 0.0;
        }
        let prices = Prices::of(self.architecture);
        let hours = held.max(MINIMUM_CHARGE).as_secs_f64() / 3600.0;
        let vcpus = f64::from(size.cpu()) / 1024.0;
        let gib = f64::from(size.memory_mib()) / 1024.0;
        let share = if spot { prices.spot_share } else { 1.0 };
        let address = if self.public_address { prices.address_hour } else { 0.0 };
        hours * ((vcpus * prices.vcpu_hour + gib * prices.gib_hour) * share + address)
    }

    /// The cost of a transfer of files besides its job, in US dollars: one object of so many GB is put, kept and
    /// got. What leaves the shell leaves for the internet.
    pub fn transfer(self, gb: f64, is_download: bool) -> f64 {
        let prices = Prices::of(self.architecture);
        let internet = if is_download { gb * prices.internet_gb } else { 0.0 };
        let kept = gb * prices.object_gb_month * OBJECT_DAYS / 30.0;
        prices.object_put + prices.object_get + kept + internet
    }

    /// The cost of these calls, in US dollars.
    pub fn calls(self, calls: &Calls) -> f64 {
        let prices = Prices::of(self.architecture);
        calls.http_requests * prices.http_request
            + calls.transitions * prices.transition
            + calls.invocations * prices.invocation
            + calls.gib_seconds * prices.function_gib_second
            + calls.queue_requests * prices.queue_request
            + calls.write_units * prices.write_unit
            + calls.read_units * prices.read_unit
            + calls.bus_events * prices.bus_event
            + calls.socket_messages * prices.socket_message
            + calls.connection_minutes * prices.connection_minute
            + calls.log_gb * prices.log_gb
    }
}

impl Calls {
    /// The sum of both.
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
            bus_events: self.bus_events + other.bus_events,
            socket_messages: self.socket_messages + other.socket_messages,
            connection_minutes: self.connection_minutes + other.connection_minutes,
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
            bus_events: self.bus_events * n,
            socket_messages: self.socket_messages * n,
            connection_minutes: self.connection_minutes * n,
            log_gb: self.log_gb * n,
        }
    }
}

#[cfg(test)]
mod tests;
