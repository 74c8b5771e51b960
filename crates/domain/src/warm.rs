//! Tasks started ahead of any session, so that a start does not wait for one.

use serde::{Deserialize, Serialize};

use crate::{
    SessionId, TaskId, Timestamp, WarmId,
    size::{Network, Size},
};

/// What a warm task must share with a session to serve it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// Image name.
    pub image: String,
    /// CPU and memory.
    pub size: Size,
    /// What it can reach.
    pub network: Network,
}

/// A task started ahead. It serves one session or none, never two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Warm {
    /// Asked for; not answering yet.
    Starting(Starting),
    /// Answers, and waits for a session.
    Available(Available),
    /// Serves a session. Final: the session's record says the rest.
    Claimed(Claimed),
    /// Gone without having served. Final.
    Retired(Retired),
}

/// Asked for; the intent is on record before the task exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starting {
    id: WarmId,
    kind: Kind,
    created_at: Timestamp,
    due_at: Timestamp,
}

/// A task that has answered a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Available {
    id: WarmId,
    kind: Kind,
    task: TaskId,
    created_at: Timestamp,
    due_at: Timestamp,
}

/// A task that belongs to a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    id: WarmId,
    kind: Kind,
    session: SessionId,
    task: TaskId,
}

/// A task that is no more, or must be no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    id: WarmId,
    kind: Kind,
    task: Option<TaskId>,
}

impl Warm {
    /// Records the intent to start a task. It must answer before `answer_by`.
    pub fn plan(id: WarmId, kind: Kind, now: Timestamp, answer_by: Timestamp) -> Starting {
        Starting { id, kind, created_at: now, due_at: answer_by }
    }

    /// Its id.
    pub const fn id(&self) -> WarmId {
        match self {
            Self::Starting(warm) => warm.id,
            Self::Available(warm) => warm.id,
            Self::Claimed(warm) => warm.id,
            Self::Retired(warm) => warm.id,
        }
    }

    /// What sessions it could serve.
    pub const fn kind(&self) -> &Kind {
        match self {
            Self::Starting(warm) => &warm.kind,
            Self::Available(warm) => &warm.kind,
            Self::Claimed(warm) => &warm.kind,
            Self::Retired(warm) => &warm.kind,
        }
    }

    /// When someone must look at it; none for a final record.
    pub const fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::Starting(warm) => Some(warm.due_at),
            Self::Available(warm) => Some(warm.due_at),
            Self::Claimed(_) | Self::Retired(_) => None,
        }
    }
}

impl Starting {
    /// What sessions it could serve.
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Its id.
    pub const fn id(&self) -> WarmId {
        self.id
    }

    /// The task answered a probe; it is thrown away unclaimed at `recycle_at`.
    pub fn answered(self, task: TaskId, recycle_at: Timestamp) -> Available {
        let Self { id, kind, created_at, .. } = self;
        Available { id, kind, task, created_at, due_at: recycle_at }
    }

    /// The task did not come up.
    pub fn retire(self) -> Retired {
        Retired { id: self.id, kind: self.kind, task: None }
    }
}

impl Available {
    /// The task itself.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }

    /// Gives the task to a session, for good.
    pub fn claim(self, session: SessionId) -> Claimed {
        Claimed { id: self.id, kind: self.kind, session, task: self.task }
    }

    /// The task ended or grew too old.
    pub fn retire(self) -> Retired {
        Retired { id: self.id, kind: self.kind, task: Some(self.task) }
    }
}

impl Claimed {
    /// The session that it serves.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The task itself.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }
}

macro_rules! into_warm {
    ($($state:ident)*) => {
        $(impl From<$state> for Warm {
            fn from(state: $state) -> Self {
                Self::$state(state)
            }
        })*
    };
}
into_warm!(Starting Available Claimed Retired);
