//! The states and their transitions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Drain, Moved, Reason, Spec, Status, Stop, TaskStopped,
    head::{Head, LOOK_AGAIN, Watch},
};
use crate::{
    JobId, SessionId, TaskId, Timestamp, UserId,
    cost::Tally,
    task::StopCause,
    timeline::{By, Entry, What},
};

/// How long a session may take from its slot to ready, all attempts together.
pub(super) const READY_WITHIN: Duration = Duration::from_mins(10);
/// How often the place in the waiting line is looked at.
const ADMISSION_LOOK: Duration = Duration::from_mins(1);

/// Accepted above the quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub(super) head: Head,
    pub(super) due_at: Timestamp,
}

/// Holds a slot; nothing was done yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    pub(super) head: Head,
    pub(super) watch: Watch,
    pub(super) ready_by: Timestamp,
}

/// A task is being asked for. `head.attempt` names the try; the intent is on record first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioning {
    pub(super) head: Head,
    pub(super) watch: Watch,
    pub(super) ready_by: Timestamp,
}

/// A task was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starting {
    pub(super) head: Head,
    pub(super) watch: Watch,
    pub(super) ready_by: Timestamp,
    pub(super) task: TaskId,
    pub(super) running_at: Option<Timestamp>,
}

/// Its runner answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    pub(super) head: Head,
    pub(super) watch: Watch,
    pub(super) task: TaskId,
    pub(super) ready_at: Timestamp,
}

/// Will end. A task may still be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    pub(super) head: Head,
    pub(super) watch: Watch,
    pub(super) holds_slot: bool,
    pub(super) placement: Placement,
    pub(super) ready_at: Option<Timestamp>,
    pub(super) stop: Stop,
    pub(super) stop_sent_at: Option<Timestamp>,
}

/// Over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub(super) head: Head,
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
        by: By,
    ) -> Moved<Self> {
        let (head, entry) = accepted(id, user, start_job, spec, by);
        Moved { session: Self { head, due_at: by.now + ADMISSION_LOOK }, entries: vec![entry] }
    }

    /// A slot is free: the session takes it.
    pub fn admit(mut self, by: By) -> Moved<Queued> {
        let entry =
            self.head.record(by, What::Admitted, Some(Status::Queued), Status::Queued, None);
        self.head.expires_at = by.now + self.head.spec.ttl;
        Moved { session: queued(self.head, by), entries: vec![entry] }
    }

    /// No slot yet: look again later.
    pub fn look_later(mut self, now: Timestamp) -> Self {
        self.due_at = now + ADMISSION_LOOK;
        self
    }

    /// Ends it before it began.
    pub fn stop(self, reason: Reason, note: Option<String>, by: By) -> Moved<Stopping> {
        let watch = Watch { due_at: by.now, waiter: None };
        stopping(self.head, watch, Placement::None, None, Status::Queued, (reason, note), by)
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
        by: By,
    ) -> Moved<Self> {
        let (head, entry) = accepted(id, user, start_job, spec, by);
        Moved { session: queued(head, by), entries: vec![entry] }
    }

    /// Records that a task is about to be asked for.
    pub fn provision(mut self, by: By) -> Moved<Provisioning> {
        self.head.attempt = 1;
        let entry = self.head.record(
            by,
            What::Provisioning,
            Some(Status::Queued),
            Status::Provisioning,
            None,
        );
        let Self { head, watch, ready_by } = self;
        Moved {
            session: Provisioning { head, watch: watch.touched(by), ready_by },
            entries: vec![entry],
        }
    }

    /// A warm task was claimed in the same transaction: no need to ask for one.
    pub fn claim(mut self, task: TaskId, by: By) -> Moved<Starting> {
        let (from, to) = (Some(Status::Queued), Status::Starting);
        let entry = self.head.record(by, What::WarmTaskClaimed, from, to, None);
        self.head.task_at = Some(by.now);
        let Self { head, watch, ready_by } = self;
        let watch = watch.touched(by);
        let session = Starting { head, watch, ready_by, task, running_at: Some(by.now) };
        Moved { session, entries: vec![entry] }
    }

    /// Ends it before a task was asked for.
    pub fn stop(self, reason: Reason, note: Option<String>, by: By) -> Moved<Stopping> {
        let Self { head, watch, .. } = self;
        stopping(head, watch, Placement::None, None, Status::Queued, (reason, note), by)
    }
}

impl Provisioning {
    /// The token that makes asking again harmless: the same until an attempt is refused for good.
    pub fn client_token(&self) -> String {
        format!("{}-a{}", self.head.id, self.head.attempt)
    }

    /// A task came of it.
    pub fn placed(mut self, task: TaskId, by: By) -> Moved<Starting> {
        let (from, to) = (Some(Status::Provisioning), Status::Starting);
        let entry = self.head.record(by, What::TaskPlaced, from, to, None);
        self.head.task_at = Some(by.now);
        let Self { head, watch, ready_by } = self;
        let session = Starting { head, watch: watch.touched(by), ready_by, task, running_at: None };
        Moved { session, entries: vec![entry] }
    }

    /// The provider said no, for good: the next try is a new attempt with a new token.
    pub fn refused(mut self, cause: String, by: By) -> Moved<Self> {
        let entry = self.head.record(
            by,
            What::PlacementRefused,
            Some(Status::Provisioning),
            Status::Provisioning,
            Some(cause),
        );
        self.head.attempt += 1;
        self.watch.due_at = by.now + Duration::from_mins(2);
        Moved { session: self, entries: vec![entry] }
    }

    /// Ends it; a task may come of the request that is under way.
    pub fn stop(self, reason: Reason, note: Option<String>, by: By) -> Moved<Stopping> {
        let Self { head, watch, .. } = self;
        stopping(head, watch, Placement::Asked, None, Status::Provisioning, (reason, note), by)
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
    pub fn running(mut self, by: By) -> Moved<Self> {
        let status = Status::Starting;
        let entry = self.head.record(by, What::TaskRunning, Some(status), status, None);
        self.running_at = Some(by.now);
        self.watch = self.watch.touched(by);
        Moved { session: self, entries: vec![entry] }
    }

    /// The runner answered. The time to live counts from here.
    pub fn ready(mut self, by: By) -> Moved<Ready> {
        let (from, to) = (Some(Status::Starting), Status::Ready);
        let entry = self.head.record(by, What::Ready, from, to, None);
        let Self { mut head, watch, task, .. } = self;
        head.expires_at = head.expires_at.max(by.now + head.spec.ttl);
        head.last_active_at = by.now;
        let session = Ready { head, watch: watch.touched(by), task, ready_at: by.now };
        Moved { session, entries: vec![entry] }
    }

    /// Ends it before it was ready.
    pub fn stop(self, reason: Reason, note: Option<String>, by: By) -> Moved<Stopping> {
        let Self { head, watch, task, .. } = self;
        let placement = Placement::Placed(task);
        stopping(head, watch, placement, None, Status::Starting, (reason, note), by)
    }

    /// The task ended before it was ready.
    pub fn task_stopped(self, cause: Option<StopCause>, by: By) -> Moved<Stopping> {
        let reason = ended_by_itself(cause.as_ref());
        self.stop(reason, cause.as_ref().map(|c| c.message.clone()), by)
            .then(|stopping| stopping.task_stopped(cause, by))
    }
}

impl Ready {
    /// The task.
    pub const fn task(&self) -> &TaskId {
        &self.task
    }

    /// Moves the deadline. The old timer fires and looks at the new one.
    pub fn extend(mut self, expires_at: Timestamp, by: By) -> Moved<Self> {
        let status = Status::Ready;
        let cause = Some(expires_at.to_string());
        let entry = self.head.record(by, What::Extended, Some(status), status, cause);
        self.head.expires_at = expires_at;
        self.watch = self.watch.touched(by);
        Moved { session: self, entries: vec![entry] }
    }

    /// Its owner is told that the end is near.
    pub fn warn(mut self, by: By) -> Moved<Self> {
        let status = Status::Ready;
        let entry = self.head.record(by, What::Expiring, Some(status), status, None);
        self.head.warned_of = Some(self.head.expires_at);
        self.watch = self.watch.touched(by);
        Moved { session: self, entries: vec![entry] }
    }

    /// It had something to do until `at`; the idle timeout counts from there.
    pub fn active(mut self, at: Timestamp, now: Timestamp) -> Self {
        self.head.last_active_at = self.head.last_active_at.max(at);
        self.watch.due_at = now + LOOK_AGAIN;
        self
    }

    /// It has done all that it had to do; the idle timeout counts from now.
    pub fn settled(mut self, now: Timestamp) -> Self {
        self.head.last_active_at = now;
        self.watch.due_at = now + LOOK_AGAIN;
        self
    }

    /// Ends it.
    pub fn stop(self, reason: Reason, note: Option<String>, by: By) -> Moved<Stopping> {
        let Self { head, watch, task, ready_at } = self;
        let placement = Placement::Placed(task);
        stopping(head, watch, placement, Some(ready_at), Status::Ready, (reason, note), by)
    }

    /// The task ended by itself.
    pub fn task_stopped(self, cause: Option<StopCause>, by: By) -> Moved<Stopping> {
        let reason = ended_by_itself(cause.as_ref());
        self.stop(reason, cause.as_ref().map(|c| c.message.clone()), by)
            .then(|stopping| stopping.task_stopped(cause, by))
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
    pub fn task_found(mut self, task: TaskId, by: By) -> Moved<Self> {
        let entry = self.note(by, What::TaskFound, None);
        self.head.task_at = Some(by.now);
        self.placement = Placement::Placed(task);
        Moved { session: self, entries: vec![entry] }
    }

    /// No task came of the request.
    pub fn no_task(mut self, by: By) -> Self {
        self.placement = Placement::None;
        self.watch = self.watch.touched(by);
        self
    }

    /// The task was told to stop.
    pub fn stop_sent(mut self, by: By) -> Moved<Self> {
        let entry = self.note(by, What::StopSent, None);
        self.stop_sent_at = Some(by.now);
        self.watch.due_at = by.now + Duration::from_mins(1);
        Moved { session: self, entries: vec![entry] }
    }

    /// The task is gone.
    pub fn task_stopped(mut self, cause: Option<StopCause>, by: By) -> Moved<Self> {
        let words = cause.as_ref().map(|c| c.message.clone());
        let entry = self.note(by, What::TaskStopped, words);
        if let Placement::Placed(task) = self.placement {
            self.placement = Placement::Gone(task, TaskStopped { at: by.now, cause });
        }
        Moved { session: self, entries: vec![entry] }
    }

    /// All is done: the end. `Placement::Asked` or `Placed` here means that we gave up on the task;
    /// the sweep kills what runs without a live record.
    pub fn finish(mut self, by: By) -> Moved<Ended> {
        let (what, to) = if self.stop.reason.is_failure() {
            (What::Failed, Status::Failed)
        } else {
            (What::Stopped, Status::Stopped)
        };
        let reason = self.stop.reason;
        let from = Some(Status::Stopping);
        let entry = self.head.record(by, what, from, to, Some(reason.name().to_owned()));
        let (task, task_until) = match self.placement {
            Placement::Placed(task) => (Some(task), Some(by.now)),
            Placement::Gone(task, stopped) => (Some(task), Some(stopped.at)),
            Placement::None | Placement::Asked => (None, None),
        };
        let Self { head, ready_at, stop, .. } = self;
        let note = stop.note;
        let ended_at = by.now;
        let session =
            Ended { head, task, ready_at, reason, note, ended_at, task_until, commands: None };
        Moved { session, entries: vec![entry] }
    }

    fn note(&mut self, by: By, what: What, cause: Option<String>) -> Entry {
        self.watch.due_at = by.now + LOOK_AGAIN;
        let status = Status::Stopping;
        self.head.record(by, what, Some(status), status, cause)
    }
}

impl Moved<Stopping> {
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

fn accepted(id: SessionId, user: UserId, start_job: JobId, spec: Spec, by: By) -> (Head, Entry) {
    let mut head = Head {
        id,
        user,
        expires_at: by.now + spec.ttl,
        spec,
        start_job,
        stop_jobs: Vec::new(),
        created_at: by.now,
        drain: None,
        attempt: 0,
        task_at: None,
        entries: 0,
        last_entry_at: by.now,
        last_active_at: by.now,
        warned_of: None,
    };
    let entry = head.record(by, What::Accepted, None, Status::Queued, None);
    (head, entry)
}

fn queued(head: Head, by: By) -> Queued {
    let watch = Watch { due_at: by.now + LOOK_AGAIN, waiter: None };
    Queued { head, watch, ready_by: by.now + READY_WITHIN }
}

fn stopping(
    mut head: Head,
    watch: Watch,
    placement: Placement,
    ready_at: Option<Timestamp>,
    from: Status,
    (reason, note): (Reason, Option<String>),
    by: By,
) -> Moved<Stopping> {
    let words = Some(reason.name().to_owned());
    let entry = head.record(by, What::StopRequested, Some(from), Status::Stopping, words);
    let stop = Stop { at: by.now, reason, actor: by.actor, note };
    let watch = watch.touched(by);
    let holds_slot = true;
    let session =
        Stopping { head, watch, holds_slot, placement, ready_at, stop, stop_sent_at: None };
    Moved { session, entries: vec![entry] }
}

fn ended_by_itself(cause: Option<&StopCause>) -> Reason {
    cause.map_or(Reason::TaskExited, Reason::of_task)
}

/// Marks a live session as draining: it ends once its jobs are done.
pub(super) fn drain(head: &mut Head, status: Status, drain: Drain, by: By) -> Entry {
    let words = Some(drain.reason.name().to_owned());
    head.drain = Some(drain);
    head.record(by, What::Draining, Some(status), status, words)
}
