//! The messages on the queues. A message notifies: it names the record to reconcile, and the handler
//! decides by that record.

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, JobId, SessionId, task::TaskFacts};

/// One message. It may arrive late, twice, out of order or never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Message {
    /// A session got its slot: start its execution.
    StartSession { session: SessionId },
    /// This session changed: resume the waiter whose condition is met.
    NotifySession { session: SessionId },
    /// Jobs of this session may be runnable.
    RunJob { session: SessionId },
    /// This job was claimed when it was accepted, for the worker that gets this message.
    RunClaimed { session: SessionId, job: JobId },
    /// The cancellation of this running job was recorded: terminate its command.
    CancelJob { job: JobId },
    /// Send this signal (a number of signal(7)) to the command of this running job.
    SignalJob { job: JobId, signal: i32 },
    /// This session got its task, or its end was moved: tell the task when it must end.
    SetDeadline { session: SessionId },
    /// A client wants to open the terminal of this running job.
    OpenTerminal { job: JobId },
    /// A task changed its state.
    TaskEvent { facts: TaskFacts },
    /// The runner in this running task may answer by now: probe it.
    ProbeTask { facts: TaskFacts },
    /// This delivery is due.
    DeliverWebhook { delivery: DeliveryId },
    /// A warm task was claimed: fill the pool up again.
    FillPool,
}

/// A queue. Messages of one lane can delay one another; messages of different lanes can't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Starts and stops of sessions; fair by session.
    Control,
    /// Commands in shells.
    Exec,
    /// Observations of tasks.
    TaskEvents,
    /// Posts to users' endpoints.
    Webhooks,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 4] = [Self::Control, Self::Exec, Self::TaskEvents, Self::Webhooks];

    /// The lane's name in queues, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Exec => "exec",
            Self::TaskEvents => "task-events",
            Self::Webhooks => "webhooks",
        }
    }
}

impl Message {
    /// The lane that carries this message.
    pub const fn lane(&self) -> Lane {
        match self {
            Self::StartSession { .. } | Self::NotifySession { .. } | Self::FillPool => {
                Lane::Control
            }
            Self::RunJob { .. }
            | Self::RunClaimed { .. }
            | Self::CancelJob { .. }
            | Self::SignalJob { .. }
            | Self::OpenTerminal { .. }
            | Self::SetDeadline { .. } => Lane::Exec,
            Self::TaskEvent { .. } | Self::ProbeTask { .. } => Lane::TaskEvents,
            Self::DeliverWebhook { .. } => Lane::Webhooks,
        }
    }
}
