//! Events of an execution, for a driver that records the history.

use crate::{Failure, Millis};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// One event in an execution's history. It borrows its data from the execution; a driver that keeps
/// the event calls [`Event::into_owned`].
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'e> {
    /// The time at which the interpreter processed the event.
    pub at: Millis,
    /// The name of the state in which the event occurred.
    pub state: Cow<'e, str>,
    /// The kind of the event, with its data.
    pub kind: EventKind<'e>,
}

impl Event<'_> {
    /// Copies the borrowed data.
    pub fn into_owned(self) -> Event<'static> {
        let Self { at, state, kind } = self;
        Event { at, state: Cow::Owned(state.into_owned()), kind: kind.into_owned() }
    }
}

/// The kind of an event, named as in AWS's execution history. An event holds user data and task
/// tokens, so `Debug` shows only the name.
#[derive(Clone, PartialEq)]
pub enum EventKind<'e> {
    /// The execution entered the state; `input` is the raw input.
    StateEntered { input: Cow<'e, Value> },
    /// An attempt of a task began; `input` is what the resource receives.
    TaskScheduled { resource: Cow<'e, str>, input: Cow<'e, Value> },
    /// The task succeeded with this result.
    TaskSucceeded { output: Cow<'e, Value> },
    /// The task reported an error.
    TaskFailed(Cow<'e, Failure>),
    /// The task exceeded `TimeoutSeconds` or `HeartbeatSeconds`.
    TaskTimedOut(Cow<'e, Failure>),
    /// The interpreter failed the state: an invalid path, a size limit, no matching choice.
    StateFailed(Cow<'e, Failure>),
    /// A retrier matched; the next attempt starts at `until`.
    RetryScheduled { until: Millis },
    /// The execution left the state with this output, either normally or through a catcher.
    StateExited { output: Cow<'e, Value> },
}

impl EventKind<'_> {
    /// The name of the variant.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StateEntered { .. } => "StateEntered",
            Self::TaskScheduled { .. } => "TaskScheduled",
            Self::TaskSucceeded { .. } => "TaskSucceeded",
            Self::TaskFailed(_) => "TaskFailed",
            Self::TaskTimedOut(_) => "TaskTimedOut",
            Self::StateFailed(_) => "StateFailed",
            Self::RetryScheduled { .. } => "RetryScheduled",
            Self::StateExited { .. } => "StateExited",
        }
    }

    fn into_owned(self) -> EventKind<'static> {
        fn owned<T: Clone>(data: Cow<'_, T>) -> Cow<'static, T> {
            Cow::Owned(data.into_owned())
        }
        match self {
            Self::StateEntered { input } => EventKind::StateEntered { input: owned(input) },
            Self::TaskScheduled { resource, input } => {
                let resource = Cow::Owned(resource.into_owned());
                EventKind::TaskScheduled { resource, input: owned(input) }
            }
            Self::TaskSucceeded { output } => EventKind::TaskSucceeded { output: owned(output) },
            Self::TaskFailed(failure) => EventKind::TaskFailed(owned(failure)),
            Self::TaskTimedOut(failure) => EventKind::TaskTimedOut(owned(failure)),
            Self::StateFailed(failure) => EventKind::StateFailed(owned(failure)),
            Self::RetryScheduled { until } => EventKind::RetryScheduled { until },
            Self::StateExited { output } => EventKind::StateExited { output: owned(output) },
        }
    }

    /// The number of events that AWS records for this one: it adds `TaskStarted` to `TaskScheduled`
    /// and records neither the failure of a state nor the schedule of a retry.
    pub(crate) fn aws_events(&self) -> u32 {
        match self {
            Self::TaskScheduled { .. } => 2,
            Self::StateFailed(_) | Self::RetryScheduled { .. } => 0,
            Self::StateEntered { .. } | Self::StateExited { .. } => 1,
            Self::TaskSucceeded { .. } | Self::TaskFailed(_) | Self::TaskTimedOut(_) => 1,
        }
    }
}

impl fmt::Debug for EventKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
