//! The quotas of an account, as token buckets. `docs/scale.md` has their sources.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;
use tokio::time::Instant;

/// A quota: `burst` calls at once, `rate` calls a second for long.
#[derive(Debug)]
pub(crate) struct Quota {
    /// The name in reports and of the option `--quota`.
    pub(crate) name: &'static str,
    burst: f64,
    rate: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    at: Instant,
    taken: u64,
    refused: u64,
    /// The calls of each second.
    per_second: Vec<u32>,
    start: Instant,
}

/// What became of a quota in a run.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) name: &'static str,
    pub(crate) rate: f64,
    pub(crate) burst: f64,
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    /// The most calls in one second.
    pub(crate) peak: u32,
}

impl Quota {
    fn new(name: &'static str, burst: u32, rate: u32) -> Self {
        let start = Instant::now();
        let state = State {
            tokens: burst.into(),
            at: start,
            taken: 0,
            refused: 0,
            per_second: Vec::new(),
            start,
        };
        Self { name, burst: burst.into(), rate: rate.into(), state: Mutex::new(state) }
    }

    /// Whether a call is allowed now.
    pub(crate) fn take(&self) -> bool {
        let mut state = self.state.lock();
        let now = Instant::now();
        let refilled = now.duration_since(state.at).as_secs_f64() * self.rate;
        state.tokens = (state.tokens + refilled).min(self.burst);
        state.at = now;
        if state.tokens < 1.0 {
            state.refused += 1;
            return false;
        }
        state.tokens -= 1.0;
        state.taken += 1;
        let second = usize::try_from(now.duration_since(state.start).as_secs()).unwrap_or(0);
        if state.per_second.len() <= second {
            state.per_second.resize(second + 1, 0);
        }
        state.per_second[second] += 1;
        true
    }

    fn used(&self) -> Use {
        let state = self.state.lock();
        Use {
            name: self.name,
            rate: self.rate,
            burst: self.burst,
            taken: state.taken,
            refused: state.refused,
            peak: state.per_second.iter().copied().max().unwrap_or(0),
        }
    }
}

/// All quotas that are rates.
#[derive(Debug)]
pub(crate) struct Quotas {
    pub(crate) requests: Quota,
    pub(crate) run_task: Quota,
    pub(crate) launches: Quota,
    pub(crate) modify: Quota,
    pub(crate) read: Quota,
    pub(crate) start_execution: Quota,
    pub(crate) send_task_success: Quota,
    pub(crate) transitions: Quota,
    pub(crate) connects: Quota,
}

/// The quotas that are amounts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    /// Invocations of functions at the same time.
    pub(crate) concurrency: u32,
    /// Units of 1/1024 vCPU of all tasks.
    pub(crate) cpu: u32,
}

impl Quotas {
    /// The published quotas of an account in us-east-1, changed by `NAME=NUMBER`.
    pub(crate) fn new(changes: &[String]) -> Result<(Self, Amounts)> {
        let mut changes: BTreeMap<&str, u32> =
            changes.iter().map(|change| parse(change)).collect::<Result<_>>()?;
        let mut quota = |name, burst: u32, rate| match changes.remove(name) {
            Some(changed) => Quota::new(name, burst.max(changed), changed),
            None => Quota::new(name, burst, rate),
        };
        let quotas = Self {
            requests: quota("requests", 5_000, 10_000),
            run_task: quota("run-task", 20, 20),
            launches: quota("launches", 100, 20),
            modify: quota("modify", 100, 40),
            read: quota("read", 100, 20),
            start_execution: quota("start-execution", 1_300, 300),
            send_task_success: quota("send-task-success", 3_000, 500),
            transitions: quota("transitions", 5_000, 5_000),
            connects: quota("connects", 500, 500),
        };
        let concurrency = changes.remove("concurrency").unwrap_or(1_000);
        let cpu = changes.remove("vcpu").unwrap_or(6).saturating_mul(1024);
        if let Some(name) = changes.keys().next() {
            bail!("there is no quota {name:?}; hint: the report names all");
        }
        Ok((quotas, Amounts { concurrency, cpu }))
    }

    /// What became of all quotas.
    pub(crate) fn used(&self) -> Vec<Use> {
        let all = [
            &self.requests,
            &self.run_task,
            &self.launches,
            &self.modify,
            &self.read,
            &self.start_execution,
            &self.send_task_success,
            &self.transitions,
            &self.connects,
        ];
        all.map(Quota::used).into()
    }
}

/// Reads `NAME=NUMBER`.
fn parse(change: &str) -> Result<(&str, u32)> {
    let (name, number) = change.split_once('=').context("a change is NAME=NUMBER")?;
    Ok((name, number.parse().with_context(|| format!("{change}: not a number"))?))
}
