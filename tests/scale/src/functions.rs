//! The functions: how many run at once, cold starts, and what they are charged for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use handlers::permissions::Function;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// From the decision to start a process until it handles its first event.
const COLD_START: Duration = Duration::from_millis(250);
/// Processes that one function may start at once, and in each further second.
const STARTS_AT_ONCE: f64 = 1_000.0;
const STARTS_PER_SECOND: f64 = 100.0;
/// How long a process is kept without an event.
const KEPT: Duration = Duration::from_mins(5);

/// All functions of the deployment, which share the account's concurrency.
#[derive(Debug, Clone)]
pub(crate) struct Functions(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    concurrency: u32,
    running: u32,
    peak: u32,
    by_name: BTreeMap<&'static str, OneFunction>,
}

#[derive(Debug)]
struct OneFunction {
    memory_mib: u32,
    reserved: Option<u32>,
    running: u32,
    /// When each idle process became idle.
    idle: Vec<Instant>,
    starts: f64,
    starts_at: Instant,
    use_of: FunctionUse,
}

/// What became of a function in a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FunctionUse {
    pub(crate) invocations: u64,
    pub(crate) throttled: u64,
    pub(crate) cold_starts: u64,
    pub(crate) peak: u32,
    pub(crate) gib_seconds: f64,
}

/// The function can't run now: too many run already, or too many were started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throttled;

/// An invocation. Dropping it ends it.
struct Running {
    functions: Functions,
    name: &'static str,
    begun: Instant,
    is_cold: bool,
}

impl Functions {
    /// The functions of handlers, with the reservations of the template.
    pub(crate) fn new(concurrency: u32) -> Self {
        let now = Instant::now();
        let one = |function: &Function| OneFunction {
            memory_mib: function.memory_mib,
            reserved: reserved(function.name, concurrency),
            running: 0,
            idle: Vec::new(),
            starts: STARTS_AT_ONCE,
            starts_at: now,
            use_of: FunctionUse::default(),
        };
        let by_name =
            handlers::permissions::FUNCTIONS.iter().map(|function| (function.name, one(function)));
        let state = State { concurrency, running: 0, peak: 0, by_name: by_name.collect() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Does the work in a function. Without a process for it, nothing is done.
    pub(crate) async fn invoke<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, Throttled> {
        let running = self.begin(name)?;
        if running.is_cold {
            sleep(COLD_START).await;
        }
        Ok(work.await)
    }

    fn begin(&self, name: &'static str) -> Result<Running, Throttled> {
        let mut state = self.0.lock();
        let now = Instant::now();
        let reserved: u32 = state.by_name.values().filter_map(|one| one.reserved).sum();
        let unreserved = state.concurrency - reserved;
        let shared: u32 = state
            .by_name
            .values()
            .filter(|one| one.reserved.is_none())
            .map(|one| one.running)
            .sum();
        let function = state.by_name.get_mut(name).ok_or(Throttled)?;
        let is_full = match function.reserved {
            Some(reserved) => function.running >= reserved,
            None => shared >= unreserved,
        };
        function.idle.retain(|since| now.duration_since(*since) < KEPT);
        let is_cold = function.idle.is_empty();
        if is_full || is_cold && !function.take_start(now) {
            function.use_of.throttled += 1;
            return Err(Throttled);
        }
        function.idle.pop();
        function.running += 1;
        function.use_of.invocations += 1;
        function.use_of.cold_starts += u64::from(is_cold);
        function.use_of.peak = function.use_of.peak.max(function.running);
        state.running += 1;
        state.peak = state.peak.max(state.running);
        Ok(Running { functions: self.clone(), name, begun: now, is_cold })
    }

    /// The most invocations at the same time, and what became of each function.
    pub(crate) fn used(&self) -> (u32, BTreeMap<&'static str, FunctionUse>) {
        let state = self.0.lock();
        (state.peak, state.by_name.iter().map(|(name, one)| (*name, one.use_of)).collect())
    }
}

impl OneFunction {
    fn take_start(&mut self, now: Instant) -> bool {
        let passed = now.duration_since(self.starts_at).as_secs_f64();
        self.starts = STARTS_PER_SECOND.mul_add(passed, self.starts).min(STARTS_AT_ONCE);
        self.starts_at = now;
        let may = self.starts >= 1.0;
        if may {
            self.starts -= 1.0;
        }
        may
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.functions.0.lock();
        state.running -= 1;
        let Some(function) = state.by_name.get_mut(self.name) else { return };
        let now = Instant::now();
        function.running -= 1;
        function.idle.push(now);
        let seconds = now.duration_since(self.begun).as_secs_f64();
        function.use_of.gib_seconds += seconds * f64::from(function.memory_mib) / 1024.0;
    }
}

/// As `infra/lib/functions.ts` reserves it.
fn reserved(name: &str, concurrency: u32) -> Option<u32> {
    match name {
        _ if concurrency < 200 => None,
        "api" => Some(concurrency / 2),
        handlers::SWEEP => Some(2),
        _ => None,
    }
}
