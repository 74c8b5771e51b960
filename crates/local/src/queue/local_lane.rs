//! The lanes of the queue of one machine.

use domain::message::{Lane, Message};

/// A lane of this queue. Lane `exec` is split: a command occupies its lane as long as it runs, and must
/// not delay messages to commands that run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LocalLane {
    /// All messages of a lane but the interrupts.
    Main(Lane),
    /// What concerns commands that run already, and is short: cancellations, signals, terminals to open,
    /// deadlines of shells; part of lane `exec`.
    Interrupts,
}

impl LocalLane {
    /// All lanes.
    pub const ALL: [Self; Lane::ALL.len() + 1] = [
        Self::Main(Lane::Control),
        Self::Interrupts,
        Self::Main(Lane::Exec),
        Self::Main(Lane::TaskEvents),
        Self::Main(Lane::Webhooks),
    ];

    /// The lane that carries this message.
    pub const fn of(message: &Message) -> Self {
        if matches!(
            message,
            Message::CancelJob { .. }
                | Message::SignalJob { .. }
                | Message::OpenTerminal { .. }
                | Message::SetDeadline { .. }
        ) {
            return Self::Interrupts;
        }
        Self::Main(message.lane())
    }

    /// The lane that this one is a part of.
    pub(super) const fn lane(self) -> Lane {
        match self {
            Self::Main(lane) => lane,
            Self::Interrupts => Lane::Exec,
        }
    }
}

impl From<Lane> for LocalLane {
    fn from(lane: Lane) -> Self {
        Self::Main(lane)
    }
}
