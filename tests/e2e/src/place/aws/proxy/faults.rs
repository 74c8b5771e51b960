//! What goes wrong with calls.

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refused for coming too often; nothing happened.
    Throttled,
    /// 500; nothing happened.
    Broken,
    /// It happened, and the caller does not hear of it.
    AnswerLost,
}

#[derive(Debug)]
enum When {
    /// The next so many calls of this operation.
    Next { service: &'static str, operation: &'static str, times: u32 },
    /// Of 100 calls of any kind.
    Chance(u32),
}

/// Which calls fail, and how. None, by default.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<(When, Fault)>,
    dice: u64,
}

impl Faults {
    /// The next so many calls of one operation.
    pub(crate) fn next(
        mut self,
        service: &'static str,
        operation: &'static str,
        times: u32,
        fault: Fault,
    ) -> Self {
        self.rules.push((When::Next { service, operation, times }, fault));
        self
    }

    /// So many of 100 calls, whatever they are.
    pub(crate) fn chance(mut self, of_100: u32, fault: Fault) -> Self {
        self.rules.push((When::Chance(of_100), fault));
        self
    }

    /// What is to happen to this call.
    pub(super) fn of(&mut self, service: &str, operation: &str) -> Option<Fault> {
        let mut roll = self.roll();
        self.rules.iter_mut().find_map(|(when, fault)| match when {
            When::Next { service: s, operation: o, times } => {
                let hit = *s == service && *o == operation && *times > 0;
                hit.then(|| {
                    *times -= 1;
                    *fault
                })
            }
            When::Chance(of_100) if roll < *of_100 => Some(*fault),
            When::Chance(of_100) => {
                // The rules share the hundred.
                roll -= *of_100;
                None
            }
        })
    }

    /// 0..100, the same row in every run (Knuth's MMIX constants).
    fn roll(&mut self) -> u32 {
        let next = self.dice.wrapping_mul(6_364_136_223_846_793_005);
        self.dice = next.wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.dice >> 33) % 100).unwrap_or(0)
    }
}
