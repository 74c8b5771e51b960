//! The invariants of the lifecycle: one list for the simulation and the crash test.

/// What must hold in every run. The twelve invariants of the design come first, in its order; the
/// others are about the API, the process and the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    NoCommandRunsTwice = 1,
    EachJobEndsInOneFinalState,
    CompletedOnlyIfTheRunnerReportedIt,
    QuotaIsNeverExceeded,
    NoTaskOutlivesItsSession,
    NoTaskWithoutRecord,
    FinalRecordsNeverChange,
    OpenRecordsHaveADueTime,
    TimelineHasNoGaps,
    EachEventIsDelivered,
    SerialJobsKeepTheirOrder,
    OneWarmTaskServesOneSession,
    /// An accepted request is stored once, and the same key gets the same response.
    AcceptedOnce,
    /// Every wait ends in time.
    EveryWaitEnds,
    /// No process, mount, control group or directory is left on the host.
    NothingIsLeftOnTheHost,
    /// Every response is one that the API documents for the request.
    ResponsesAreDocumented,
    NothingPanics,
    /// A job that is cancelled without an exit was never started, neither before nor after that.
    CancelledWithoutExitNeverRan,
}

impl Invariant {
    /// All invariants, by number.
    pub const ALL: [Self; 18] = [
        Self::NoCommandRunsTwice,
        Self::EachJobEndsInOneFinalState,
        Self::CompletedOnlyIfTheRunnerReportedIt,
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
        Self::EveryWaitEnds,
        Self::NothingIsLeftOnTheHost,
        Self::ResponsesAreDocumented,
        Self::NothingPanics,
        Self::CancelledWithoutExitNeverRan,
    ];

    /// The position in the list, from 1.
    pub const fn number(self) -> usize {
        self as usize
    }

    /// The invariant as a sentence, for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCommandRunsTwice => "no command runs twice",
            Self::EachJobEndsInOneFinalState => {
                "every accepted job ends in exactly one final state"
            }
            Self::CompletedOnlyIfTheRunnerReportedIt => {
                "a job is completed only if the runner reported it"
            }
            Self::QuotaIsNeverExceeded => "the quota is never exceeded, and 0 at the end",
            Self::NoTaskOutlivesItsSession => "no task outlives its session for long",
            Self::NoTaskWithoutRecord => {
                "no task without a record, no running record without a task"
            }
            Self::FinalRecordsNeverChange => "a final record never changes",
            Self::OpenRecordsHaveADueTime => "every record that is not final has a due time",
            Self::TimelineHasNoGaps => "the timeline is the transitions, in order, without gaps",
            Self::EachEventIsDelivered => {
                "each subscribed event is delivered or dead-lettered, under one id"
            }
            Self::SerialJobsKeepTheirOrder => "serial jobs never overlap and keep their order",
            Self::OneWarmTaskServesOneSession => "one warm task serves one session",
            Self::AcceptedOnce => "an accepted request is stored once",
            Self::EveryWaitEnds => "every wait ends",
            Self::NothingIsLeftOnTheHost => "nothing is left on the host",
            Self::ResponsesAreDocumented => "every response is a documented one",
            Self::NothingPanics => "nothing panics",
            Self::CancelledWithoutExitNeverRan => "a job cancelled without an exit never ran",
        }
    }
}
