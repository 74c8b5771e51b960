//! All fakes together, and sessions in any state as the start of a test.

use std::sync::Arc;

use domain::{
    JobId, SessionId, Timestamp,
    command::{Command, Concurrency, Terminal},
    job::{self, Job, Work},
    ports::{Clock, Expect, Write},
    session::{Event, Queued, Reason, Session, Spec, Transition, Waiting},
    task::TaskStatus,
    timeline::{Actor, Stamp},
};

use crate::{
    Gate, MemoryChanges, MemoryCompute, MemoryFiles, MemoryProcesses, MemoryQueue, MemoryShell,
    MemoryStore, MemoryTransfers, MemoryWebhooks, MemoryWorkflow, SeqIds, SimClock, command,
    finish, job_id, provision, session_id, spec, task_id, user_id,
};

/// Every port in memory. The fields have the names of the fields of the `Env` of handlers.
#[derive(Debug, Clone)]
pub struct Fakes {
    pub store: Arc<MemoryStore>,
    pub queue: Arc<MemoryQueue>,
    pub workflow: Arc<MemoryWorkflow>,
    pub compute: Arc<MemoryCompute>,
    pub shell: Arc<MemoryShell>,
    pub files: Arc<MemoryFiles>,
    /// Not part of the `Env`, unless a test adds it: requests for files are jobs then.
    pub transfers: Arc<MemoryTransfers>,
    pub processes: Arc<MemoryProcesses>,
    pub webhooks: Arc<MemoryWebhooks>,
    pub changes: Arc<MemoryChanges>,
    pub clock: Arc<SimClock>,
    pub ids: Arc<SeqIds>,
    pub gate: Arc<Gate>,
    spec: Spec,
}

/// Builds an `Env` of handlers from these fakes and this policy: `env_of!(Env, &fakes, policy)`.
///
/// A macro, because this crate must not depend on the crate of `Env`, which uses this one in its own tests.
#[macro_export]
macro_rules! env_of {
    ($env:ident, $fakes:expr, $policy:expr) => {{
        let fakes: &$crate::Fakes = $fakes;
        $env {
            store: fakes.store.clone(),
            queue: fakes.queue.clone(),
            workflow: fakes.workflow.clone(),
            compute: fakes.compute.clone(),
            shell: fakes.shell.clone(),
            files: Some(fakes.files.clone()),
            transfers: None,
            zstd: None,
            processes: Some(fakes.processes.clone()),
            webhooks: fakes.webhooks.clone(),
            changes: fakes.changes.clone(),
            clock: fakes.clock.clone(),
            ids: fakes.ids.clone(),
            policy: ::std::sync::Arc::new($policy),
            worker: "w".into(),
            claims: None,
        }
    }};
}

impl Default for Fakes {
    fn default() -> Self {
        Self::new()
    }
}

impl Fakes {
    /// Empty fakes; the clock stands at 2026-01-01.
    pub fn new() -> Self {
        let clock = SimClock::default();
        let gate = Arc::new(Gate::default());
        let store = Arc::new(MemoryStore::new(gate.clone()));
        let compute = Arc::new(MemoryCompute::new(clock.clone(), gate.clone()));
        Self {
            queue: Arc::new(MemoryQueue::new(clock.clone(), gate.clone())),
            workflow: Arc::new(MemoryWorkflow::new(gate.clone())),
            shell: Arc::new(MemoryShell::new(compute.clone(), clock.clone(), gate.clone())),
            files: Arc::new(MemoryFiles::new(gate.clone())),
            transfers: Arc::new(MemoryTransfers::new(clock.clone(), gate.clone())),
            processes: Arc::new(MemoryProcesses::new(gate.clone())),
            webhooks: Arc::new(MemoryWebhooks::new(gate.clone())),
            changes: Arc::new(MemoryChanges::new(store.clone(), clock.clone(), gate.clone())),
            ids: Arc::new(SeqIds::new(clock.clone())),
            clock: Arc::new(clock),
            spec: spec(),
            store,
            compute,
            gate,
        }
    }

    /// The time that the clock shows.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Changes the spec of the sessions that are made after this call.
    pub fn with_spec(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// A session of the test user that waits for a slot.
    pub fn with_waiting_session(self, name: &str) -> Self {
        let (id, stamp) = (session_id(name), self.stamp());
        let moved = Waiting::accept(id, user_id(), start_job(name), self.spec.clone(), stamp).any();
        self.put_new(moved.session, moved.entries, false);
        self
    }

    /// A session of the test user that holds a slot.
    pub fn with_queued_session(self, name: &str) -> Self {
        let (id, stamp) = (session_id(name), self.stamp());
        let moved = Queued::accept(id, user_id(), start_job(name), self.spec.clone(), stamp).any();
        self.put_new(moved.session, moved.entries, true);
        self
    }

    /// A session whose task is being requested.
    pub fn with_provisioning_session(self, name: &str) -> Self {
        self.with_queued_session(name).transition(name, provision)
    }

    /// A session whose task was placed; the task is `task_id(name)`, and runs.
    pub fn with_starting_session(self, name: &str) -> Self {
        let task = task_id(name);
        self.compute.adopt(task.clone(), &session_id(name).to_string(), TaskStatus::Running);
        self.compute.take_events();
        self.with_provisioning_session(name).after(name, Event::Placed(task))
    }

    /// A session that runs commands.
    pub fn with_ready_session(self, name: &str) -> Self {
        let fakes = self.with_starting_session(name);
        fakes.end_start_job(name);
        fakes.after(name, Event::Running).after(name, Event::Ready)
    }

    /// A session that its owner has stopped; its task still runs.
    pub fn with_stopping_session(self, name: &str) -> Self {
        let stop = Event::Stop { reason: Reason::UserStop, note: None };
        self.with_ready_session(name).after(name, stop)
    }

    /// A session that has ended, and whose task has stopped.
    pub fn with_ended_session(self, name: &str) -> Self {
        let fakes = self.with_stopping_session(name);
        fakes.compute.advance(&task_id(name), TaskStatus::Stopped);
        fakes.compute.take_events();
        let ended = fakes.after(name, Event::TaskStopped(None)).transition(name, finish);
        let free = Write::FreeSlot { user: user_id(), session: session_id(name) };
        ended.store.apply(&[free]).expect("the slot was held");
        ended
    }

    /// A queued execute job of a session.
    pub fn with_queued_job(self, session: &str, name: &str, line: &str) -> Self {
        let work = Work::Execute(Box::new(command(line)));
        self.put_job(session, job_id(name), work);
        self
    }

    /// An execute job that worker `w` runs, with the turn.
    pub fn with_running_job(self, session: &str, name: &str, line: &str) -> Self {
        self.with_running_command(session, name, command(line))
    }

    /// A job with this command that worker `w` runs.
    pub fn with_running_command(self, session: &str, name: &str, command: Command) -> Self {
        let id = job_id(name);
        self.put_job(session, id, Work::Execute(Box::new(command)));
        let session = session_id(session);
        let Job::Queued(queued) = self.job(name) else { unreachable!("it was just made") };
        let running = Box::new(queued.claim("w", self.now()).into());
        let version = self.store.job_version(id).expect("it was just made");
        let writes =
            [Write::Job(running, Expect::At(version)), Write::TakeTurn { session, job: id }];
        self.store.apply(&writes).expect("the turn is free");
        self
    }

    /// A job on a terminal that worker `w` runs.
    pub fn with_running_terminal(self, session: &str, name: &str) -> Self {
        let terminal = Some(Terminal { cols: 80, rows: 24, idle: None, record: true });
        let concurrency = Concurrency::Parallel;
        let work = Work::Execute(Box::new(Command { terminal, concurrency, ..command("sh") }));
        self.put_job(session, job_id(name), work);
        let Job::Queued(queued) = self.job(name) else { unreachable!("it was just made") };
        let running = Box::new(queued.claim("w", self.now()).into());
        let version = self.store.job_version(job_id(name)).expect("it was just made");
        self.store.apply(&[Write::Job(running, Expect::At(version))]).expect("it is free");
        self
    }

    /// The session of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn session(&self, name: &str) -> Session {
        self.store.session_now(session_id(name)).expect("the session exists")
    }

    /// The job of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn job(&self, name: &str) -> Job {
        self.store.job_now(job_id(name)).expect("the job exists")
    }

    /// Applies an event to the session.
    ///
    /// # Panics
    /// If the session's state does not accept the event.
    pub fn after(self, name: &str, event: Event) -> Self {
        self.transition(name, |session, stamp| {
            session.on(event, stamp).expect("the event fits the state")
        })
    }

    /// Writes what this transition makes of the session.
    pub fn transition(
        self,
        name: &str,
        transition: impl FnOnce(Session, Stamp) -> Transition,
    ) -> Self {
        let moved = transition(self.session(name), self.stamp());
        let version = self.version(session_id(name));
        let mut writes = vec![Write::Session(Box::new(moved.session), Expect::At(version))];
        writes.extend(moved.entries.into_iter().map(|entry| Write::Entry(Box::new(entry))));
        self.store.apply(&writes).expect("no other writer");
        self
    }

    fn version(&self, id: SessionId) -> domain::ports::Version {
        let all = self.store.all_sessions();
        all.iter().find(|one| one.value.id() == id).expect("the session exists").version
    }

    fn put_new(&self, session: Session, entries: Vec<domain::timeline::Entry>, slot: bool) {
        let id = session.id();
        let start_job = session.start_job();
        let user = session.user().clone();
        let mut writes = vec![Write::Session(Box::new(session), Expect::New)];
        writes.extend(entries.into_iter().map(|entry| Write::Entry(Box::new(entry))));
        if slot {
            writes.push(Write::TakeSlot { user, limit: u32::MAX });
        }
        self.store.apply(&writes).expect("the session is new");
        self.put_job_of(id, start_job, Work::Start);
    }

    fn put_job(&self, session: &str, job: JobId, work: Work) {
        self.put_job_of(session_id(session), job, work);
    }

    fn put_job_of(&self, session: SessionId, id: JobId, work: Work) {
        let common = job::Common { id, session, user: user_id(), work, created_at: self.now() };
        let queued = Box::new(Job::accept(common).into());
        self.store.apply(&[Write::Job(queued, Expect::New)]).expect("the job is new");
    }

    fn end_start_job(&self, name: &str) {
        let id = start_job(name);
        let Some(Job::Queued(queued)) = self.store.job_now(id) else { return };
        let outcome = job::Outcome::Completed { exit: None, failure: None };
        let ended = Box::new(queued.end(outcome, self.now()).into());
        let version = self.store.job_version(id).expect("it was just read");
        self.store.apply(&[Write::Job(ended, Expect::At(version))]).expect("no other writer");
    }

    fn stamp(&self) -> Stamp {
        Stamp::new(Actor::User, self.now())
    }
}

fn start_job(session: &str) -> JobId {
    job_id(&format!("+{session}"))
}
