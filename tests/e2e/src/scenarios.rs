//! The scenarios. Each checks what a user can see; access behind the API goes through the place.

use std::{pin::Pin, time::Duration};

use anyhow::Result;

use crate::harness::Harness;

mod access;
mod bus;
mod calls;
mod commands;
mod drain;
mod endings;
mod faults;
mod files;
mod instances;
mod life;
mod links;
mod quota;
mod secrets;
mod terminals;

/// The place that a scenario needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Needs {
    /// Any place.
    Either,
    /// AWS's shape, for this reason.
    Aws(&'static str),
    /// Runners that connect by themselves, for this reason.
    Links(&'static str),
    /// Tasks on instances, for this reason.
    Instances(&'static str),
}

type Run = for<'a> fn(&'a Harness<'a>) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// A scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    /// No other scenario may run at the same time.
    pub(crate) alone: bool,
    /// The scenario can't run with background faults: it counts calls, or injects faults itself.
    pub(crate) without_faults: bool,
    /// The time limit.
    pub(crate) within: Duration,
    pub(crate) run: Run,
}

impl Scenario {
    const fn new(name: &'static str, run: Run) -> Self {
        let within = Duration::from_mins(3);
        Self { name, needs: Needs::Either, alone: false, without_faults: false, within, run }
    }

    const fn only_on_aws(mut self, reason: &'static str) -> Self {
        self.needs = Needs::Aws(reason);
        self
    }

    const fn only_with_links(mut self, reason: &'static str) -> Self {
        self.needs = Needs::Links(reason);
        self
    }

    const fn only_with_instances(mut self, reason: &'static str) -> Self {
        self.needs = Needs::Instances(reason);
        self
    }

    const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    const fn only_without_faults(mut self) -> Self {
        self.without_faults = true;
        self.alone()
    }
}

/// All scenarios.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    all.extend(life::SCENARIOS);
    all.extend(commands::SCENARIOS);
    all.extend(files::SCENARIOS);
    all.extend(terminals::SCENARIOS);
    all.extend(links::SCENARIOS);
    all.extend(access::SCENARIOS);
    all.extend(endings::SCENARIOS);
    all.extend(quota::SCENARIOS);
    all.extend(faults::SCENARIOS);
    all.extend(instances::SCENARIOS);
    all.extend(bus::SCENARIOS);
    all.extend(calls::SCENARIOS);
    all.extend(drain::SCENARIOS);
    // The last one searches the logs of all others.
    all.extend(secrets::SCENARIOS);
    all
}
