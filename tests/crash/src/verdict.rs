//! Collects violations, by invariant.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use testkit::Invariant;

/// Pieces of evidence that the report shows for each invariant.
const SHOWN: usize = 10;

/// The violations found by all tasks of the test.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    found: Mutex<BTreeMap<Invariant, Vec<String>>>,
}

impl Verdict {
    /// Records and prints a violation. `evidence` contains ids and states, never output or secrets.
    pub(crate) fn violated(&self, invariant: Invariant, evidence: impl Into<String>) {
        let mut found = self.found.lock();
        let evidence = evidence.into();
        let of_invariant = found.entry(invariant).or_default();
        if !of_invariant.contains(&evidence) {
            println!("  VIOLATED {}: {evidence}", invariant.name());
            of_invariant.push(evidence);
        }
    }

    /// Records a violation unless `holds` is true.
    pub(crate) fn check(
        &self,
        holds: bool,
        invariant: Invariant,
        evidence: impl FnOnce() -> String,
    ) {
        if !holds {
            self.violated(invariant, evidence());
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.found.lock().values().map(Vec::len).sum()
    }

    /// Prints one line for each invariant, and the evidence; true if all hold.
    pub(crate) fn report(&self) -> bool {
        let found = self.found.lock();
        for invariant in Invariant::ALL {
            let evidence = found.get(&invariant).map_or(&[][..], Vec::as_slice);
            let mark = if evidence.is_empty() { "ok      " } else { "VIOLATED" };
            println!("  {mark} {}", invariant.name());
            for piece in evidence.iter().take(SHOWN) {
                println!("           {piece}");
            }
            if evidence.len() > SHOWN {
                println!("           and {} more", evidence.len() - SHOWN);
            }
        }
        found.is_empty()
    }
}
