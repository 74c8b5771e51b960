//! Faults of calls.

use fastrand::Rng;

/// The same faults in each run.
const SEED: u64 = 1;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call is throttled; it has no effect.
    Throttled,
    /// The status is 500; the call has no effect.
    Broken,
    /// The call has its effect, and the response is lost.
    AnswerLost,
}

#[derive(Debug)]
enum Rule {
    /// Applies to the next calls of this operation.
    Next { service: &'static str, operation: &'static str, times: u32 },
    /// Applies to this percentage of all calls.
    Percent(u32),
}

/// Which calls fail, and how; none by default.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Vec<(Rule, Fault)>,
    rng: Rng,
}

impl Default for Faults {
    fn default() -> Self {
        Self { rules: Vec::new(), rng: Rng::with_seed(SEED) }
    }
}

impl Faults {
    /// Lets the next calls of one operation fail.
    pub(crate) fn next(
        mut self,
        service: &'static str,
        operation: &'static str,
        times: u32,
        fault: Fault,
    ) -> Self {
        self.rules.push((Rule::Next { service, operation, times }, fault));
        self
    }

    /// Lets a percentage of all calls fail.
    pub(crate) fn percent(mut self, percent: u32, fault: Fault) -> Self {
        self.rules.push((Rule::Percent(percent), fault));
        self
    }

    /// The fault of this call.
    pub(super) fn of(&mut self, service: &str, operation: &str) -> Option<Fault> {
        let mut roll = self.rng.u32(..100);
        self.rules.iter_mut().find_map(|(rule, fault)| match rule {
            Rule::Next { service: s, operation: o, times } => {
                let hit = *s == service && *o == operation && *times > 0;
                hit.then(|| {
                    *times -= 1;
                    *fault
                })
            }
            Rule::Percent(percent) if roll < *percent => Some(*fault),
            Rule::Percent(percent) => {
                // The percentages of all rules add up.
                roll = roll.saturating_sub(*percent);
                None
            }
        })
    }
}
