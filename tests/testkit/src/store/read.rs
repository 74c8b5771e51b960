//! Reads.

use async_trait::async_trait;
use domain::{
    DeliveryId, JobId, Secret, SessionId, Timestamp, UserId, WarmId,
    command::{Command, Concurrency},
    job::Job,
    ports::{
        BackendError, CommitError, Due, IdempotentResponse, Page, Quota, Store, Stream, Versioned,
        Write,
    },
    session::{self, Session},
    timeline::Entry,
    user_event::{EventNumber, UserEvent},
    warm::{self, Warm},
    webhook::Delivery,
};

use super::{MemoryStore, State};

impl MemoryStore {
    async fn read<T: Send>(
        &self,
        action: &'static str,
        read: impl FnOnce(&mut State) -> T + Send,
    ) -> Result<T, BackendError> {
        self.gate.pass(action, || read(&mut self.state.lock())).await
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        self.read("committing", |state| state.commit(&writes)).await?
    }

    async fn session(&self, id: SessionId) -> Result<Option<Versioned<Session>>, BackendError> {
        self.read("reading a session", |state| state.sessions.get(&id).cloned()).await
    }

    async fn sessions(
        &self,
        user: &UserId,
        status: Option<session::Status>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Session>, BackendError> {
        let before = cursor.and_then(|text| text.parse::<SessionId>().ok());
        self.read("listing sessions", |state| {
            let found = state
                .sessions
                .values()
                .rev()
                .map(|found| &found.value)
                .filter(|one| one.user() == user)
                .filter(|one| status.is_none_or(|status| one.status() == status))
                .filter(|one| before.is_none_or(|before| one.id() < before));
            page(found, limit, |one| one.id().to_string())
        })
        .await
    }

    async fn waiting(&self, user: &UserId) -> Result<Vec<Versioned<Session>>, BackendError> {
        self.read("listing waiting sessions", |state| state.waiting_of(user).cloned().collect())
            .await
    }

    async fn timeline(
        &self,
        session: SessionId,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Entry>, BackendError> {
        self.read("reading a timeline", |state| {
            let range = (session, after.saturating_add(1))..=(session, u32::MAX);
            let entries = state.entries.range(range).map(|(_, entry)| entry.clone());
            entries.take(limit as usize).collect()
        })
        .await
    }

    async fn job(&self, id: JobId) -> Result<Option<Versioned<Job>>, BackendError> {
        self.read("reading a job", |state| state.jobs.get(&id).cloned()).await
    }

    async fn command(&self, job: JobId) -> Result<Option<Command>, BackendError> {
        self.read("reading a command", |state| state.commands.get(&job).cloned()).await
    }

    async fn jobs(
        &self,
        session: SessionId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Job>, BackendError> {
        let after = cursor.and_then(|text| text.parse::<JobId>().ok());
        self.read("listing jobs", |state| {
            let found = state
                .jobs
                .values()
                .map(|found| &found.value)
                .filter(|job| job.common().session == session)
                .filter(|job| after.is_none_or(|after| job.id() > after));
            page(found, limit, |job| job.id().to_string())
        })
        .await
    }

    async fn open_jobs(
        &self,
        session: SessionId,
        concurrency: Concurrency,
        limit: u32,
    ) -> Result<Vec<Versioned<Job>>, BackendError> {
        self.read("listing open jobs", |state| {
            let unfinished = state.commands.keys().filter_map(|id| state.jobs.get(id));
            let open = unfinished.filter(|found| {
                let job = &found.value;
                let fits = job.command().is_some_and(|one| one.concurrency == concurrency);
                job.common().session == session && fits && job.due_at().is_some()
            });
            open.take(limit as usize).cloned().collect()
        })
        .await
    }

    async fn output(
        &self,
        job: JobId,
        stream: Stream,
        offset: u64,
        limit: u64,
    ) -> Result<Secret<Vec<u8>>, BackendError> {
        self.read("reading output", |state| {
            let stored = state.output.get(&(job, stream)).map_or(&[][..], Vec::as_slice);
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(stored.len());
            let count = usize::try_from(limit).unwrap_or(usize::MAX).min(stored.len() - from);
            Secret::new(stored[from..from + count].to_vec())
        })
        .await
    }

    async fn answer(
        &self,
        user: &UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotentResponse>, BackendError> {
        self.read("reading an answer", |state| {
            let kept = state.answers.get(&(user.clone(), key.to_owned()));
            kept.filter(|kept| now < kept.expires_at).cloned()
        })
        .await
    }

    async fn quota(&self, user: &UserId) -> Result<Quota, BackendError> {
        self.read("reading the quota", |state| Quota {
            active: state.slots.get(user).copied().unwrap_or(0),
            waiting: u32::try_from(state.waiting_of(user).count()).unwrap_or(u32::MAX),
        })
        .await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Versioned<Delivery>>, BackendError> {
        self.read("reading a delivery", |state| state.deliveries.get(&id).cloned()).await
    }

    async fn deliveries(
        &self,
        user: &UserId,
        session: Option<SessionId>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Delivery>, BackendError> {
        let before = cursor.and_then(|text| text.parse::<DeliveryId>().ok());
        self.read("listing deliveries", |state| {
            let found = state
                .deliveries
                .values()
                .rev()
                .map(|found| &found.value)
                .filter(|one| &one.payload().user == user)
                .filter(|one| session.is_none_or(|session| one.payload().session == session))
                .filter(|one| before.is_none_or(|before| one.payload().id < before));
            page(found, limit, |one| one.payload().id.to_string())
        })
        .await
    }

    async fn user_events(
        &self,
        user: &UserId,
        after: EventNumber,
        limit: u32,
    ) -> Result<Vec<(EventNumber, UserEvent)>, BackendError> {
        self.read("reading events", |state| {
            let from = (user.clone(), after.next());
            let events = state.user_events.range(from..);
            let of_user = events.take_while(|((owner, _), _)| owner == user);
            let of_user = of_user.map(|((_, number), event)| (*number, event.clone()));
            of_user.take(limit as usize).collect()
        })
        .await
    }

    async fn last_event(&self, user: &UserId) -> Result<EventNumber, BackendError> {
        self.read("reading the last event", |state| {
            state.last_events.get(user).copied().unwrap_or_default()
        })
        .await
    }

    async fn warm(&self, id: WarmId) -> Result<Option<Versioned<Warm>>, BackendError> {
        self.read("reading a warm task", |state| state.warms.get(&id).cloned()).await
    }

    async fn warm_of(&self, kind: &warm::Kind) -> Result<Vec<Versioned<Warm>>, BackendError> {
        self.read("listing warm tasks", |state| {
            let live = state
                .warms
                .values()
                .filter(|found| found.value.kind() == kind && found.value.due_at().is_some());
            live.cloned().collect()
        })
        .await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, BackendError> {
        self.read("reading what is due", |state| {
            let mut due = state.with_due_at();
            due.retain(|(at, _)| *at <= now);
            due.sort_by_key(|(at, _)| *at);
            due.into_iter().take(limit as usize).map(|(_, due)| due).collect()
        })
        .await
    }

    fn lists_due_jobs(&self) -> bool {
        !self.state.lock().hides_due_jobs
    }

    async fn forget(&self, before: Timestamp, limit: u32) -> Result<u32, BackendError> {
        self.read("forgetting old records", |state| state.forget(before, limit)).await
    }
}

impl State {
    fn waiting_of(&self, user: &UserId) -> impl Iterator<Item = &Versioned<Session>> {
        self.sessions
            .values()
            .filter(move |one| matches!(one.value, Session::Waiting(_)) && one.value.user() == user)
    }

    fn with_due_at(&self) -> Vec<(Timestamp, Due)> {
        let sessions = self
            .sessions
            .values()
            .filter_map(|found| Some((found.value.due_at()?, Due::Session(found.value.id()))));
        let jobs = self.jobs.values().filter(|_| !self.hides_due_jobs).filter_map(|found| {
            let job = &found.value;
            Some((job.due_at()?, Due::Job { job: job.id(), session: job.common().session }))
        });
        let deliveries = self.deliveries.values().filter_map(|found| {
            Some((found.value.due_at()?, Due::Delivery(found.value.payload().id)))
        });
        let warms = self
            .warms
            .values()
            .filter_map(|found| Some((found.value.due_at()?, Due::Warm(found.value.id()))));
        sessions.chain(jobs).chain(deliveries).chain(warms).collect()
    }

    fn forget(&mut self, before: Timestamp, limit: u32) -> u32 {
        let old: Vec<SessionId> = self
            .sessions
            .values()
            .filter(
                |found| matches!(&found.value, Session::Ended(ended) if ended.ended_at() < before),
            )
            .map(|found| found.value.id())
            .take(limit as usize)
            .collect();
        for id in &old {
            self.forget_session(*id);
        }
        self.user_events.retain(|_, event| event.at >= before);
        self.answers.retain(|_, kept| kept.expires_at >= before);
        let cut = before.millis().unsigned_abs();
        self.warms
            .retain(|id, found| found.value.due_at().is_some() || id.ulid().timestamp_ms() >= cut);
        u32::try_from(old.len()).unwrap_or(u32::MAX)
    }

    fn forget_session(&mut self, id: SessionId) {
        self.sessions.remove(&id);
        self.entries.retain(|(session, _), _| *session != id);
        self.deliveries.retain(|_, found| found.value.payload().session != id);
        self.turns.remove(&id);
        let jobs: Vec<JobId> = self
            .jobs
            .values()
            .filter(|found| found.value.common().session == id)
            .map(|found| found.value.id())
            .collect();
        for job in jobs {
            self.jobs.remove(&job);
            self.commands.remove(&job);
            self.output.remove(&(job, Stream::Stdout));
            self.output.remove(&(job, Stream::Stderr));
        }
    }
}

fn page<'a, T: Clone + 'a>(
    found: impl Iterator<Item = &'a T>,
    limit: u32,
    cursor: impl Fn(&T) -> String,
) -> Page<T> {
    let mut items: Vec<T> = found.take(limit as usize + 1).cloned().collect();
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Page { next: items.last().filter(|_| more).map(cursor), items }
}
