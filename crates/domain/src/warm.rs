//! Warm tasks: started ahead of any session, so that a session need not wait for its task.

use serde::{Deserialize, Serialize};

use crate::{
    SessionId, TaskId, Timestamp, WarmId,
    size::{Network, Size},
};

/// What a warm task must have in common with a session to serve it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// Image name.
    pub image: String,
    /// CPU and memory.
    pub size: Size,
    /// What the task can reach over the network.
    pub network: Network,
}

/// A task started ahead of any session. It serves one session at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Warm {
    /// Requested; its runner has not answered yet.
    Starting(Starting),
    /// Its runner answered; it can be claimed.
    Available(Available),
    /// Serves a session. Final: the session's record has the task from then on.
    Claimed(Claimed),
    /// Stopped, or to be stopped, without having served a session. Final.
    Retired(Retired),
}

/// A task that is requested. The record is written before the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starting {
    id: WarmId,
    kind: Kind,
    created_at: Timestamp,
    due_at: Timestamp,
}

/// A task whose runner answered a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Available {
    id: WarmId,
    kind: Kind,
    task: TaskId,
    created_at: Timestamp,
    due_at: Timestamp,
}

/// A task that serves a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    id: WarmId,
    kind: Kind,
    session: SessionId,
    task: TaskId,
}

/// A task that has stopped or must be stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    id: WarmId,
    kind: Kind,
    task: Option<TaskId>,
}

impl Warm {
    /// Records the intent to request a task. Its runner must answer before `answer_by`.
    pub fn plan(id: WarmId, kind: Kind, now: Timestamp, answer_by: Timestamp) -> Starting {
        Starting { id, kind, created_at: now, due_at: answer_by }
    }

    /// The warm task's id, which is also the task's `started_by`.
    pub const fn id(&self) -> WarmId {
        match self {
            Self::Starting(warm) => warm.id,
            Self::Available(warm) => warm.id,
            Self::Claimed(warm) => warm.id,
            Self::Retired(warm) => warm.id,
        }
    }

    /// The kind of session that the task can serve.
    pub const fn kind(&self) -> &Kind {
        match self {
            Self::Starting(warm) => &warm.kind,
            Self::Available(warm) => &warm.kind,
            Self::Claimed(warm) => &warm.kind,
            Self::Retired(warm) => &warm.kind,
        }
    }

    /// When the sweep must reconcile the warm task; none for a final record.
    pub const fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::Starting(warm) => Some(warm.due_at),
            Self::Available(warm) => Some(warm.due_at),
            Self::Claimed(_) | Self::Retired(_) => None,
        }
    }
}

impl Starting {
    /// The kind of session that the task can serve.
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The warm task's id, which is also the task's `started_by`.
    pub const fn id(&self) -> WarmId {
        self.id
    }

    /// The runner answered a probe. The task is replaced at `recycle_at` if no session has claimed it.
    pub fn answered(self, task: TaskId, recycle_at: Timestamp) -> Available {
        let Self { id, kind, created_at, .. } = self;
        Available { id, kind, task, created_at, due_at: recycle_at }
    }

    /// The runner did not answer in time.
    pub fn retire(self) -> Retired {
        Retired { id: self.id, kind: self.kind, task: None }
    }
}

impl Available {
    /// The task.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }

    /// Gives the task to a session.
    pub fn claim(self, session: SessionId) -> Claimed {
        Claimed { id: self.id, kind: self.kind, session, task: self.task }
    }

    /// The task stopped or is too old.
    pub fn retire(self) -> Retired {
        Retired { id: self.id, kind: self.kind, task: Some(self.task) }
    }
}

impl Claimed {
    /// The session that the task serves.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The task.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }
}

from_states!(Warm: Starting Available Claimed Retired);
