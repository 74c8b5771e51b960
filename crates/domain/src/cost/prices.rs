//! The price table: list prices in US dollars in the region us-east-1, without free tiers, taxes and
//! discounts. All prices of the project are in this file.

use super::{Architecture, Calls};

/// The date on which the table was last compared with its sources.
pub const AS_OF: &str = "2026-11-23";

/// The prices; the unit of each is in its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// A vCPU of a task. Price list of 2026-08-10.
    pub vcpu_hour: f64,
    /// A GiB of a task's memory. Price list of 2026-08-10.
    pub gib_hour: f64,
    /// The price of Spot capacity as a share of the full price. It varies; this is typical.
    pub spot_share: f64,
    /// A public IPv4 address. Price list of 2026-08-10.
    pub address_hour: f64,
    /// A request to the HTTP API, the first 300 million a month.
    pub http_request: f64,
    /// A state transition of a standard workflow.
    pub transition: f64,
    /// An invocation of a function.
    pub invocation: f64,
    /// A GiB of a function's memory for a second of its run.
    pub function_gib_second: f64,
    /// A request to a standard queue.
    pub queue_request: f64,
    /// A write request unit, on demand.
    pub write_unit: f64,
    /// A read request unit, on demand.
    pub read_unit: f64,
    /// An event that is put on a bus.
    pub bus_event: f64,
    /// A message of a WebSocket API, sent or received, for each 32 KiB; the first thousand million a month.
    pub socket_message: f64,
    /// A minute of a connection to a WebSocket API.
    pub connection_minute: f64,
    /// A GB of ingested logs. Price list of 2026-08-10.
    pub log_gb: f64,
    /// Putting an object. As of 2026-11-27, as are the three next.
    pub object_put: f64,
    /// Getting an object.
    pub object_get: f64,
    /// A GB of objects for a month.
    pub object_gb_month: f64,
    /// A GB that leaves for the internet, the first 10 TB a month.
    pub internet_gb: f64,
}

const ARM64: Prices = Prices {
    vcpu_hour: 0.032_38,
    gib_hour: 0.003_56,
    spot_share: 0.3,
    address_hour: 0.005,
    http_request: 1.00e-6,
    transition: 25e-6,
    invocation: 0.20e-6,
    function_gib_second: 13.333_4e-6,
    queue_request: 0.40e-6,
    write_unit: 0.625e-6,
    read_unit: 0.125e-6,
    bus_event: 1.00e-6,
    socket_message: 1.00e-6,
    connection_minute: 0.25e-6,
    log_gb: 0.50,
    object_put: 5.00e-6,
    object_get: 0.40e-6,
    object_gb_month: 0.023,
    internet_gb: 0.09,
};

const X86_64: Prices =
    Prices { vcpu_hour: 0.040_48, gib_hour: 0.004_445, function_gib_second: 16.666_7e-6, ..ARM64 };

impl Prices {
    /// The prices of this architecture.
    pub const fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Arm64 => ARM64,
            Architecture::X86_64 => X86_64,
        }
    }
}

/// For how many days the object of a transfer of files is billed: until it is removed after one, a rule that runs
/// once a day.
pub const OBJECT_DAYS: f64 = 2.0;
/// The memory of the functions that wait for commands, in GiB.
pub const WORKER_GIB: f64 = 0.125;
/// How many seconds a function runs that reads and writes a few records; an assumption.
pub const INVOCATION_SECONDS: f64 = 0.05;
/// How many seconds the worker that starts a command follows it.
pub const FOLLOW_SECONDS: f64 = 10.0;
/// The share of a longer command's time for which later workers follow it; an assumption: every 30 s they take
/// 1.8 s to connect, to read for 0.3 s and to store what they read.
pub const VISIT_SHARE: f64 = 0.06;
/// How many seconds the functions run for a command that ends at once: the request that waits, the report, and the
/// event. Counted on a busy machine.
pub const COMMAND_SECONDS: f64 = 0.8;
/// How many GB the API logs for one request: a line of 0.35 KB.
pub const REQUEST_LOG_GB: f64 = 0.35e-6;
/// The write units of a session besides those that its calls consume: the sweep checks it once, and removes its
/// records in the end, but for those of its commands, which expire. Measured by the store's tests.
pub const KEPT_SESSION_WRITES: f64 = 17.0;
/// The read units of a minute of a session: the sweep reads it with its unfinished commands.
pub const KEPT_MINUTE_READS: f64 = 1.0;

/// The calls of a session besides those of its commands: its start, its stop, and what happens in
/// between if nothing fails. Counted in the end-to-end tests on emulated AWS services, where runners connect by
/// themselves (docs/cost.md). The minutes of the connection are extra.
pub const PER_SESSION: Calls = Calls {
    http_requests: 4.0,
    transitions: 4.0,
    invocations: 21.0,
    gib_seconds: 21.0 * INVOCATION_SECONDS * WORKER_GIB,
    queue_requests: 21.0,
    write_units: 81.0 + KEPT_SESSION_WRITES,
    read_units: 70.0,
    bus_events: 2.0,
    socket_messages: 2.0,
    connection_minutes: 0.0,
    log_gb: 4.0 * REQUEST_LOG_GB + 0.6e-6,
};

/// The calls of one command whose request waits for its end. The run time of the command is extra.
pub const PER_JOB: Calls = Calls {
    http_requests: 1.0,
    transitions: 0.0,
    invocations: 3.0,
    gib_seconds: COMMAND_SECONDS * WORKER_GIB,
    queue_requests: 0.0,
    write_units: 11.0,
    read_units: 10.0,
    bus_events: 1.0,
    socket_messages: 3.0,
    connection_minutes: 0.0,
    log_gb: REQUEST_LOG_GB,
};
