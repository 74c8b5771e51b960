//! The scenarios. Each is about what a user can see; what reaches behind the API goes by the place.

use std::{pin::Pin, time::Duration};

use anyhow::Result;

use crate::stage::Stage;

mod access;
mod calls;
mod commands;
mod endings;
mod faults;
mod life;
mod quota;
mod secrets;

/// Which place a scenario can be played in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Needs {
    /// Both.
    Either,
    /// AWS's shape, for this reason.
    Aws(&'static str),
}

type Play = for<'a> fn(&'a Stage<'a>) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    /// Nothing else may go on meanwhile: it disturbs others, or others it.
    pub(crate) alone: bool,
    /// It makes no sense where calls fail by chance: it counts them, or spoils some itself.
    pub(crate) calm: bool,
    /// How long it may take.
    pub(crate) within: Duration,
    pub(crate) run: Play,
}

impl Scenario {
    const fn new(name: &'static str, run: Play) -> Self {
        let within = Duration::from_mins(3);
        Self { name, needs: Needs::Either, alone: false, calm: false, within, run }
    }

    const fn only_on_aws(mut self, reason: &'static str) -> Self {
        self.needs = Needs::Aws(reason);
        self
    }

    const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    const fn only_in_calm(mut self) -> Self {
        self.calm = true;
        self.alone()
    }
}

/// All of them. Those that are not played alone come first, several at once.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    all.extend(life::SCENARIOS);
    all.extend(commands::SCENARIOS);
    all.extend(access::SCENARIOS);
    all.extend(endings::SCENARIOS);
    all.extend(quota::SCENARIOS);
    all.extend(faults::SCENARIOS);
    all.extend(calls::SCENARIOS);
    // The last one: it searches what all others have logged.
    all.extend(secrets::SCENARIOS);
    all
}
