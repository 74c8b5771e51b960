//! What travels over the queues. A message is a bell: it says where to look, never what to believe.

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, JobId, SessionId, task::TaskFacts};

/// One message. May come late, twice, out of order or never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Message {
    /// A session was admitted: begin its execution.
    StartSession { session: SessionId },
    /// A fact of this session changed: wake whoever waits for it.
    NotifySession { session: SessionId },
    /// Jobs of this session may be runnable.
    RunJob { session: SessionId },
    /// The cancellation of this running job is on record: end its command.
    CancelJob { job: JobId },
    /// This running job's command is to get a signal.
    SignalJob { job: JobId, signal: i32 },
    /// A task changed its state.
    TaskEvent { facts: TaskFacts },
    /// A running task may answer by now.
    ProbeTask { facts: TaskFacts },
    /// A webhook is due.
    DeliverWebhook { delivery: DeliveryId },
    /// A warm task was taken: fill up.
    FillPool,
}

/// The queue a message travels on; one handler may hold up another only within a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Starts and stops; fair by session.
    Control,
    /// Work in shells.
    Exec,
    /// Facts about tasks.
    TaskEvents,
    /// Calls to the outside.
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
    /// The lane this message travels on.
    pub const fn lane(&self) -> Lane {
        match self {
            Self::StartSession { .. } | Self::NotifySession { .. } | Self::FillPool => {
                Lane::Control
            }
            Self::RunJob { .. } | Self::CancelJob { .. } | Self::SignalJob { .. } => Lane::Exec,
            Self::TaskEvent { .. } | Self::ProbeTask { .. } => Lane::TaskEvents,
            Self::DeliverWebhook { .. } => Lane::Webhooks,
        }
    }
}
