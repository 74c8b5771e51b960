//! The states and their transitions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Drain, Reason, Spec, Status, Stop, TaskStopped, Transition,
    common::{Common, RECHECK_AFTER, Wakeup},
};
use crate::{
    JobId, SessionId, TaskId, Timestamp, UserId,
    cost::Tally,
    task::StopCause,
    timeline::{Entry, EventKind, Stamp},
};

/// How long a session may take from its slot to ready, all attempts together.
pub(super) const READY_WITHIN: Duration = Duration::from_mins(10);
/// How often the place in the waiting line is looked at.
const ADMISSION_RECHECK_AFTER: Duration = Duration::from_mins(1);

/// Accepted above the quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    #[serde(rename = "head")]
    pub(super) common: Common,
    pub(super) due_at: Timestamp,
}

/// Holds a slot; nothing was done yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    #[serde(rename = "head")]
    pub(super) common: Common,
    #[serde(rename = "watch")]
    pub(super) wakeup: Wakeup,
    pub(super) ready_by: Timestamp,
}

/// A task is being asked for. `head.attempt` names the try; the intent is on record first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioning {
    #[serde(rename = "head")]
    pub(super) common: Common,
    #[serde(rename = "watch")]
    pub(super) wakeup: Wakeup,
    pub(super) ready_by: Timestamp,
}

/// A task was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starting {
    #[serde(rename = "head")]
    pub(super) common: Common,
    #[serde(rename = "watch")]
    pub(super) wakeup: Wakeup,
    pub(super) ready_by: Timestamp,
    pub(super) task: TaskId,
    pub(super) running_at: Option<Timestamp>,
}

/// Its runner answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    #[serde(rename = "head")]
    pub(super) common: Common,
    #[serde(rename = "watch")]
    pub(super) wakeup: Wakeup,
    pub(super) task: TaskId,
    pub(super) ready_at: Timestamp,
}

/// Will end. A task may still be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    #[serde(rename = "head")]
    pub(super) common: Common,
    #[serde(rename = "watch")]
    pub(super) wakeup: Wakeup,
    pub(super) holds_slot: bool,
    pub(super) placement: Placement,
    pub(super) ready_at: Option<Timestamp>,
    pub(super) stop: Stop,
    pub(super) stop_sent_at: Option<Timestamp>,
}

/// Over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    #[serde(rename = "head")]
    pub(super) common: Common,
    pub(super) task: Option<TaskId>,
    pub(super) ready_at: Option<Timestamp>,
    pub(super) reason: Reason,
    pub(super) note: Option<String>,
    pub(super) ended_at: Timestamp,
    /// When its task was gone, if it had one.
    pub(super) task_until: Option<Timestamp>,
    pub(super) commands: Option<Tally>,
}

/// What is known of a stopping session's task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// None was ever asked for, or none came of it.
    None,
    /// One was asked for; whether it exists is not known.
    Asked,
    /// It exists.
    Placed(TaskId),
    /// It existed and is gone.
    Gone(TaskId, TaskStopped),
}

impl Waiting {
    /// Accepts a session that must wait for a slot.
    pub fn accept(
        id: SessionId,
        user: UserId,
        start_job: JobId,
        spec: Spec,
        stamp: Stamp,
    ) -> Transition<Self> {
        let (common, entry) = accepted(id, user, start_job, spec, stamp);
        Transition {
            session: Self { common, due_at: stamp.now + ADMISSION_RECHECK_AFTER },
            entries: vec![entry],
        }
    }

    /// A slot is free: the session takes it.
    pub fn admit(mut self, stamp: Stamp) -> Transition<Queued> {
        let entry = self.common.record(
            stamp,
            EventKind::Admitted,
            Some(Status::Queued),
            Status::Queued,
            None,
        );
        self.common.expires_at = stamp.now + self.common.spec.ttl;
        Transition { session: queued(self.common, stamp), entries: vec![entry] }
    }

    /// Ends it before it began.
    pub fn stop(self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition<Stopping> {
        let wakeup = Wakeup { due_at: stamp.now, waiter: None };
        stopping(self.common, wakeup, Placement::None, None, Status::Queued, (reason, note), stamp)
            .without_slot()
    }
}

impl Queued {
    /// Accepts a session that has its slot.
    pub fn accept(
        id: SessionId,
        user: UserId,
        start_job: JobId,
        spec: Spec,
        stamp: Stamp,
    ) -> Transition<Self> {
        let (common, entry) = accepted(id, user, start_job, spec, stamp);
        Transition { session: queued(common, stamp), entries: vec![entry] }
    }

    /// Records that a task is about to be asked for.
    pub fn provision(mut self, stamp: Stamp) -> Transition<Provisioning> {
        self.common.attempt = 1;
        let entry = self.common.record(
            stamp,
            EventKind::Provisioning,
            Some(Status::Queued),
            Status::Provisioning,
            None,
        );
        let Self { common, wakeup, ready_by } = self;
        Transition {
            session: Provisioning { common, wakeup: wakeup.touched(stamp), ready_by },
            entries: vec![entry],
        }
    }

    /// A warm task was claimed in the same transaction: no need to ask for one.
    pub fn claim(mut self, task: TaskId, stamp: Stamp) -> Transition<Starting> {
        let (from, to) = (Some(Status::Queued), Status::Starting);
        let entry = self.common.record(stamp, EventKind::WarmTaskClaimed, from, to, None);
        self.common.task_at = Some(stamp.now);
        let Self { common, wakeup, ready_by } = self;
        let wakeup = wakeup.touched(stamp);
        let session = Starting { common, wakeup, ready_by, task, running_at: Some(stamp.now) };
        Transition { session, entries: vec![entry] }
    }

    /// Ends it before a task was asked for.
    pub fn stop(self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition<Stopping> {
        let Self { common, wakeup, .. } = self;
        stopping(common, wakeup, Placement::None, None, Status::Queued, (reason, note), stamp)
    }
}

impl Provisioning {
    /// The token that makes asking again harmless: the same until an attempt is refused for good.
    pub fn client_token(&self) -> String {
        format!("{}-a{}", self.common.id, self.common.attempt)
    }

    /// A task came of it.
    pub fn placed(mut self, task: TaskId, stamp: Stamp) -> Transition<Starting> {
        let (from, to) = (Some(Status::Provisioning), Status::Starting);
        let entry = self.common.record(stamp, EventKind::TaskPlaced, from, to, None);
        self.common.task_at = Some(stamp.now);
        let Self { common, wakeup, ready_by } = self;
        let session =
            Starting { common, wakeup: wakeup.touched(stamp), ready_by, task, running_at: None };
        Transition { session, entries: vec![entry] }
    }

    /// The provider said no, for good: the next try is a new attempt with a new token.
    pub fn refused(mut self, cause: String, stamp: Stamp) -> Transition<Self> {
        let entry = self.common.record(
            stamp,
            EventKind::PlacementRefused,
            Some(Status::Provisioning),
            Status::Provisioning,
            Some(cause),
        );
        self.common.attempt += 1;
        self.wakeup.due_at = stamp.now + Duration::from_mins(2);
        Transition { session: self, entries: vec![entry] }
    }

    /// Ends it; a task may come of the request that is under way.
    pub fn stop(self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition<Stopping> {
        let Self { common, wakeup, .. } = self;
        stopping(
            common,
            wakeup,
            Placement::Asked,
            None,
            Status::Provisioning,
            (reason, note),
            stamp,
        )
    }
}

impl Starting {
    /// The task.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }

    /// Whether the container is known to run.
    pub const fn is_running(&self) -> bool {
        self.running_at.is_some()
    }

    /// The container runs; its runner has not answered yet.
    pub fn running(mut self, stamp: Stamp) -> Transition<Self> {
        let status = Status::Starting;
        let entry = self.common.record(stamp, EventKind::TaskRunning, Some(status), status, None);
        self.running_at = Some(stamp.now);
        self.wakeup = self.wakeup.touched(stamp);
        Transition { session: self, entries: vec![entry] }
    }

    /// The runner answered. The time to live counts from here.
    pub fn ready(mut self, stamp: Stamp) -> Transition<Ready> {
        let (from, to) = (Some(Status::Starting), Status::Ready);
        let entry = self.common.record(stamp, EventKind::Ready, from, to, None);
        let Self { mut common, wakeup, task, .. } = self;
        common.expires_at = common.expires_at.max(stamp.now + common.spec.ttl);
        common.last_active_at = stamp.now;
        let session = Ready { common, wakeup: wakeup.touched(stamp), task, ready_at: stamp.now };
        Transition { session, entries: vec![entry] }
    }

    /// Ends it before it was ready.
    pub fn stop(self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition<Stopping> {
        let Self { common, wakeup, task, .. } = self;
        let placement = Placement::Placed(task);
        stopping(common, wakeup, placement, None, Status::Starting, (reason, note), stamp)
    }

    /// The task ended before it was ready.
    pub fn task_stopped(self, cause: Option<StopCause>, stamp: Stamp) -> Transition<Stopping> {
        let reason = ended_by_itself(cause.as_ref());
        self.stop(reason, cause.as_ref().map(|c| c.message.clone()), stamp)
            .then(|stopping| stopping.task_stopped(cause, stamp))
    }
}

impl Ready {
    /// The task.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }

    /// Moves the deadline. The old timer fires and looks at the new one.
    pub fn extend(mut self, expires_at: Timestamp, stamp: Stamp) -> Transition<Self> {
        let status = Status::Ready;
        let cause = Some(expires_at.to_string());
        let entry = self.common.record(stamp, EventKind::Extended, Some(status), status, cause);
        self.common.expires_at = expires_at;
        self.wakeup = self.wakeup.touched(stamp);
        Transition { session: self, entries: vec![entry] }
    }

    /// Its owner is told that the end is near.
    pub fn warn(mut self, stamp: Stamp) -> Transition<Self> {
        let status = Status::Ready;
        let entry = self.common.record(stamp, EventKind::Expiring, Some(status), status, None);
        self.common.warned_of = Some(self.common.expires_at);
        self.wakeup = self.wakeup.touched(stamp);
        Transition { session: self, entries: vec![entry] }
    }

    /// It had something to do until `at`; the idle timeout counts from there.
    pub fn active(mut self, at: Timestamp, now: Timestamp) -> Self {
        self.common.last_active_at = self.common.last_active_at.max(at);
        self.wakeup.due_at = now + RECHECK_AFTER;
        self
    }

    /// It has done all that it had to do; the idle timeout counts from now.
    pub fn go_idle(mut self, now: Timestamp) -> Self {
        self.common.last_active_at = now;
        self.wakeup.due_at = now + RECHECK_AFTER;
        self
    }

    /// Ends it.
    pub fn stop(self, reason: Reason, note: Option<String>, stamp: Stamp) -> Transition<Stopping> {
        let Self { common, wakeup, task, ready_at } = self;
        let placement = Placement::Placed(task);
        stopping(common, wakeup, placement, Some(ready_at), Status::Ready, (reason, note), stamp)
    }

    /// The task ended by itself.
    pub fn task_stopped(self, cause: Option<StopCause>, stamp: Stamp) -> Transition<Stopping> {
        let reason = ended_by_itself(cause.as_ref());
        self.stop(reason, cause.as_ref().map(|c| c.message.clone()), stamp)
            .then(|stopping| stopping.task_stopped(cause, stamp))
    }
}

impl Stopping {
    /// Why and by whom.
    pub const fn stop(&self) -> &Stop {
        &self.stop
    }

    /// What is known of the task.
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }

    /// A task that was asked for turned up.
    pub fn task_found(mut self, task: TaskId, stamp: Stamp) -> Transition<Self> {
        let entry = self.note(stamp, EventKind::TaskFound, None);
        self.common.task_at = Some(stamp.now);
        self.placement = Placement::Placed(task);
        Transition { session: self, entries: vec![entry] }
    }

    /// No task came of the request.
    pub fn no_task(mut self, stamp: Stamp) -> Self {
        self.placement = Placement::None;
        self.wakeup = self.wakeup.touched(stamp);
        self
    }

    /// The task was told to stop.
    pub fn stop_sent(mut self, stamp: Stamp) -> Transition<Self> {
        let entry = self.note(stamp, EventKind::StopSent, None);
        self.stop_sent_at = Some(stamp.now);
        self.wakeup.due_at = stamp.now + Duration::from_mins(1);
        Transition { session: self, entries: vec![entry] }
    }

    /// The task is gone.
    pub fn task_stopped(mut self, cause: Option<StopCause>, stamp: Stamp) -> Transition<Self> {
        let words = cause.as_ref().map(|c| c.message.clone());
        let entry = self.note(stamp, EventKind::TaskStopped, words);
        if let Placement::Placed(task) = self.placement {
            self.placement = Placement::Gone(task, TaskStopped { at: stamp.now, cause });
        }
        Transition { session: self, entries: vec![entry] }
    }

    /// All is done: the end. `Placement::Asked` or `Placed` here means that we gave up on the task;
    /// the sweep kills what runs without a live record.
    pub fn finish(mut self, stamp: Stamp) -> Transition<Ended> {
        let (what, to) = if self.stop.reason.is_failure() {
            (EventKind::Failed, Status::Failed)
        } else {
            (EventKind::Stopped, Status::Stopped)
        };
        let reason = self.stop.reason;
        let from = Some(Status::Stopping);
        let entry = self.common.record(stamp, what, from, to, Some(reason.name().to_owned()));
        let (task, task_until) = match self.placement {
            Placement::Placed(task) => (Some(task), Some(stamp.now)),
            Placement::Gone(task, stopped) => (Some(task), Some(stopped.at)),
            Placement::None | Placement::Asked => (None, None),
        };
        let Self { common, ready_at, stop, .. } = self;
        let note = stop.note;
        let ended_at = stamp.now;
        let session =
            Ended { common, task, ready_at, reason, note, ended_at, task_until, commands: None };
        Transition { session, entries: vec![entry] }
    }

    fn note(&mut self, stamp: Stamp, what: EventKind, cause: Option<String>) -> Entry {
        self.wakeup.due_at = stamp.now + RECHECK_AFTER;
        let status = Status::Stopping;
        self.common.record(stamp, what, Some(status), status, cause)
    }
}

impl Transition<Stopping> {
    fn without_slot(mut self) -> Self {
        self.session.holds_slot = false;
        self
    }
}

impl Ended {
    /// When it ended.
    pub const fn ended_at(&self) -> Timestamp {
        self.ended_at
    }

    /// More words on the reason.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

fn accepted(
    id: SessionId,
    user: UserId,
    start_job: JobId,
    spec: Spec,
    stamp: Stamp,
) -> (Common, Entry) {
    let mut common = Common {
        id,
        user,
        expires_at: stamp.now + spec.ttl,
        spec,
        start_job,
        stop_jobs: Vec::new(),
        created_at: stamp.now,
        drain: None,
        attempt: 0,
        task_at: None,
        entries: 0,
        last_entry_at: stamp.now,
        last_active_at: stamp.now,
        warned_of: None,
    };
    let entry = common.record(stamp, EventKind::Accepted, None, Status::Queued, None);
    (common, entry)
}

fn queued(common: Common, stamp: Stamp) -> Queued {
    let wakeup = Wakeup { due_at: stamp.now + RECHECK_AFTER, waiter: None };
    Queued { common, wakeup, ready_by: stamp.now + READY_WITHIN }
}

fn stopping(
    mut common: Common,
    wakeup: Wakeup,
    placement: Placement,
    ready_at: Option<Timestamp>,
    from: Status,
    (reason, note): (Reason, Option<String>),
    stamp: Stamp,
) -> Transition<Stopping> {
    let words = Some(reason.name().to_owned());
    let entry = common.record(stamp, EventKind::StopRequested, Some(from), Status::Stopping, words);
    let stop = Stop { at: stamp.now, reason, actor: stamp.actor, note };
    let wakeup = wakeup.touched(stamp);
    let holds_slot = true;
    let session =
        Stopping { common, wakeup, holds_slot, placement, ready_at, stop, stop_sent_at: None };
    Transition { session, entries: vec![entry] }
}

fn ended_by_itself(cause: Option<&StopCause>) -> Reason {
    cause.map_or(Reason::TaskExited, Reason::of_task)
}

/// Marks a live session as draining: it ends once its jobs are done.
pub(super) fn drain(common: &mut Common, status: Status, drain: Drain, stamp: Stamp) -> Entry {
    let words = Some(drain.reason.name().to_owned());
    common.drain = Some(drain);
    common.record(stamp, EventKind::Draining, Some(status), status, words)
}
