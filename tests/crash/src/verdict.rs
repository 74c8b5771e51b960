//! What was found wrong, by the name of the invariant that it breaks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// What must hold; the first twelve are those of the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    NoCommandRunsTwice,
    EachJobEndsInOneFinalState,
    CompletedOnlyIfTheRunnerSaidSo,
    QuotaIsNeverExceeded,
    NoTaskOutlivesItsSession,
    NoTaskWithoutRecord,
    FinalRecordsNeverChange,
    OpenRecordsHaveADueTime,
    TimelineHasNoGaps,
    EachEventIsDelivered,
    SerialJobsKeepTheirOrder,
    OneWarmTaskServesOneSession,
    /// What was accepted is there once, and the same answer comes for the same key.
    AcceptedOnce,
    /// Every wait comes to an end in time.
    NothingHangs,
    /// No process, mount, control group or directory is left.
    NothingIsLeft,
    /// Every answer is one that the API documents for the request.
    AnswersAreDocumented,
}

impl Invariant {
    pub(crate) const ALL: [Self; 16] = [
        Self::NoCommandRunsTwice,
        Self::EachJobEndsInOneFinalState,
        Self::CompletedOnlyIfTheRunnerSaidSo,
        Self::QuotaIsNeverExceeded,
        Self::NoTaskOutlivesItsSession,
        Self::NoTaskWithoutRecord,
        Self::FinalRecordsNeverChange,
        Self::OpenRecordsHaveADueTime,
        Self::TimelineHasNoGaps,
        Self::EachEventIsDelivered,
        Self::SerialJobsKeepTheirOrder,
        Self::OneWarmTaskServesOneSession,
        Self::AcceptedOnce,
        Self::NothingHangs,
        Self::NothingIsLeft,
        Self::AnswersAreDocumented,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NoCommandRunsTwice => "no command runs twice",
            Self::EachJobEndsInOneFinalState => {
                "every accepted job ends in exactly one final state"
            }
            Self::CompletedOnlyIfTheRunnerSaidSo => "completed is said only if the runner said so",
            Self::QuotaIsNeverExceeded => "the quota is never exceeded, and 0 when all is over",
            Self::NoTaskOutlivesItsSession => "no task outlives its session's end for long",
            Self::NoTaskWithoutRecord => {
                "no task without a record, no running record without a task"
            }
            Self::FinalRecordsNeverChange => "a final record never changes",
            Self::OpenRecordsHaveADueTime => "every record that is not final has a due time",
            Self::TimelineHasNoGaps => "the timeline is the transitions, in order, without gaps",
            Self::EachEventIsDelivered => {
                "each subscribed event is delivered or dead-lettered, by one id"
            }
            Self::SerialJobsKeepTheirOrder => "serial jobs never overlap and keep their order",
            Self::OneWarmTaskServesOneSession => "one warm task serves one session",
            Self::AcceptedOnce => "what was accepted is there, once",
            Self::NothingHangs => "nothing hangs",
            Self::NothingIsLeft => "nothing is left on the host",
            Self::AnswersAreDocumented => "every answer is a documented one",
        }
    }
}

/// Gathers violations from all sides.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    found: Mutex<BTreeMap<Invariant, Vec<String>>>,
}

/// How many pieces of evidence are shown for each invariant.
const SHOWN: usize = 10;

impl Verdict {
    /// Notes a violation, and tells of it at once. `evidence` holds ids and states, never output or secrets.
    pub(crate) fn broken(&self, invariant: Invariant, evidence: impl Into<String>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let evidence = evidence.into();
        let of_it = found.entry(invariant).or_default();
        if !of_it.contains(&evidence) {
            println!("  BROKEN {}: {evidence}", invariant.name());
            of_it.push(evidence);
        }
    }

    /// Notes a violation unless this holds.
    pub(crate) fn check(
        &self,
        holds: bool,
        invariant: Invariant,
        evidence: impl FnOnce() -> String,
    ) {
        if !holds {
            self.broken(invariant, evidence());
        }
    }

    pub(crate) fn count(&self) -> usize {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.values().map(Vec::len).sum()
    }

    /// Prints one line for each invariant, and the evidence; true if all hold.
    pub(crate) fn tell(&self) -> bool {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for invariant in Invariant::ALL {
            let evidence = found.get(&invariant).map_or(&[][..], Vec::as_slice);
            let mark = if evidence.is_empty() { "ok    " } else { "BROKEN" };
            println!("  {mark} {}", invariant.name());
            for piece in evidence.iter().take(SHOWN) {
                println!("         {piece}");
            }
            if evidence.len() > SHOWN {
                println!("         and {} more", evidence.len() - SHOWN);
            }
        }
        found.is_empty()
    }
}
