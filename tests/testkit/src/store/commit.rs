//! Commits: all writes of a transaction, or none.

use std::collections::HashSet;

use domain::{
    DeliveryId, EventId, JobId, SessionId, UserId, WarmId,
    ports::{CommitError, Expect, Stream, Version, Versioned, Write},
    rate::Empty,
    session::Session,
    size::Size,
};

use super::{Change, State};

/// Writes per transaction that DynamoDB accepts
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).
const MAX_WRITES: usize = 100;

/// The item that a write touches; a transaction must not touch an item twice.
#[derive(PartialEq, Eq, Hash)]
enum Touched<'a> {
    Storage(&'a UserId),
    QueueRoom(SessionId),
    RunRoom(SessionId),
    Session(SessionId),
    Job(JobId),
    Entry(SessionId, u32),
    UserEvent(EventId),
    Output(JobId, Stream, u64),
    Delivery(DeliveryId),
    Warm(WarmId),
    IdempotentResponse(&'a UserId, &'a str),
    Slots(&'a UserId),
    Starts(&'a UserId),
    Capacity,
    Turn(SessionId),
}

/// Bytes appended to one output.
type Added = ((JobId, Stream), Vec<u8>);

fn touched(write: &Write) -> Touched<'_> {
    match write {
        Write::Session(session, _) => Touched::Session(session.id()),
        Write::RequireOpen(session) => Touched::Session(*session),
        Write::RequireStorage { user, .. } => Touched::Storage(user),
        Write::RequireQueueRoom { session, .. } => Touched::QueueRoom(*session),
        Write::RequireRunRoom { session, .. } => Touched::RunRoom(*session),
        Write::Job(job, _) => Touched::Job(job.id()),
        Write::Entry(entry) => Touched::Entry(entry.session, entry.seq),
        Write::UserEvent(event) => Touched::UserEvent(event.id),
        Write::Output { job, stream, offset, .. } => Touched::Output(*job, *stream, *offset),
        Write::Delivery(delivery, _) => Touched::Delivery(delivery.payload().id),
        Write::Warm(warm, _) => Touched::Warm(warm.id()),
        Write::IdempotentResponse(answer) => Touched::IdempotentResponse(&answer.user, &answer.key),
        Write::TakeSlot { user, .. } | Write::FreeSlot { user, .. } => Touched::Slots(user),
        Write::CountStart { user, .. } => Touched::Starts(user),
        Write::RequireCapacity { .. } => Touched::Capacity,
        Write::TakeTurn { session, .. } | Write::EndTurn { session, .. } => Touched::Turn(*session),
    }
}

impl State {
    pub(super) fn commit(&mut self, writes: &[Write]) -> Result<(), CommitError> {
        assert!(writes.len() <= MAX_WRITES, "{} writes are too many at once", writes.len());
        let mut seen = HashSet::new();
        let once = writes.iter().all(|write| seen.insert(touched(write)));
        assert!(once, "a transaction writes nothing twice: {writes:?}");
        let ends = self.output_ends(writes)?;
        for write in writes {
            self.check(write)?;
        }
        for write in writes {
            self.write(write);
        }
        for ((job, stream), bytes) in ends {
            self.output.entry((job, stream)).or_default().extend(bytes);
        }
        Ok(())
    }

    fn check(&self, write: &Write) -> Result<(), CommitError> {
        let fits = match write {
            Write::Session(session, expect) => fits(self.sessions.get(&session.id()), *expect),
            Write::Job(job, expect) => fits(self.jobs.get(&job.id()), *expect),
            Write::Delivery(delivery, expect) => {
                fits(self.deliveries.get(&delivery.payload().id), *expect)
            }
            Write::Warm(warm, expect) => fits(self.warms.get(&warm.id()), *expect),
            Write::Entry(entry) => !self.entries.contains_key(&(entry.session, entry.seq)),
            Write::TakeTurn { session, job } => {
                self.turns.get(session).is_none_or(|holder| holder == job)
            }
            Write::IdempotentResponse(answer) => {
                let kept = self.answers.get(&(answer.user.clone(), answer.key.clone()));
                if kept.is_some_and(|kept| answer.created_at < kept.expires_at) {
                    return Err(CommitError::AlreadyAnswered);
                }
                true
            }
            Write::TakeSlot { user, limit } => {
                if self.slots.get(user).copied().unwrap_or(0) >= *limit {
                    return Err(CommitError::QuotaReached);
                }
                true
            }
            Write::CountStart { user, at, rate } => {
                let full_at = self.starts_full_at.get(user).copied();
                rate.take(full_at, *at).map_err(|Empty(wait)| CommitError::RateLimited(wait))?;
                true
            }
            Write::RequireCapacity { session, size } => {
                if !self.has_room(*session, *size) {
                    return Err(CommitError::NoCapacity);
                }
                true
            }
            Write::FreeSlot { user, .. } => {
                let held = self.slots.get(user).copied().unwrap_or(0);
                assert!(held > 0, "{user} frees a slot that it does not hold");
                true
            }
            Write::RequireOpen(session) => {
                if !self.sessions.get(session).is_some_and(|found| found.value.is_open()) {
                    return Err(CommitError::Closed);
                }
                true
            }
            Write::RequireStorage { user, session, bytes, limits } => {
                self.check_storage(user, *session, *bytes, *limits)?;
                true
            }
            Write::RequireQueueRoom { session, bytes, limits } => {
                self.check_queue_room(*session, *bytes, *limits)?;
                true
            }
            Write::RequireRunRoom { user, session, limits } => {
                self.check_run_room(user, *session, *limits)?;
                true
            }
            Write::UserEvent(_) | Write::Output { .. } | Write::EndTurn { .. } => true,
        };
        if fits { Ok(()) } else { Err(CommitError::Conflict) }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Session(session, expect) => {
                self.history.push(Change::Session(session.clone()));
                self.sessions.insert(session.id(), next(&**session, *expect));
            }
            Write::Job(job, expect) => {
                self.history.push(Change::Job(job.clone()));
                let outline = (**job).clone().outline();
                self.jobs.insert(job.id(), next(&outline, *expect));
                match (job.command(), *expect) {
                    (Some(command), Expect::New) => {
                        self.commands.insert(job.id(), command.clone());
                    }
                    _ if job.due_at().is_none() => drop(self.commands.remove(&job.id())),
                    _ => {}
                }
            }
            Write::Delivery(delivery, expect) => {
                self.history.push(Change::Delivery(delivery.clone()));
                self.deliveries.insert(delivery.payload().id, next(&**delivery, *expect));
            }
            Write::Warm(warm, expect) => {
                self.history.push(Change::Warm(warm.clone()));
                self.warms.insert(warm.id(), next(&**warm, *expect));
            }
            Write::Entry(entry) => {
                self.history.push(Change::Entry(entry.clone()));
                self.entries.insert((entry.session, entry.seq), (**entry).clone());
            }
            Write::UserEvent(event) => {
                self.history.push(Change::UserEvent(event.clone()));
                let last = self.last_events.entry(event.user.clone()).or_default();
                *last = last.next();
                self.user_events.insert((event.user.clone(), *last), (**event).clone());
            }
            Write::IdempotentResponse(answer) => {
                let key = (answer.user.clone(), answer.key.clone());
                self.answers.insert(key, (**answer).clone());
            }
            Write::TakeSlot { user, .. } => *self.slots.entry(user.clone()).or_default() += 1,
            Write::CountStart { user, at, rate } => {
                let full_at = self.starts_full_at.get(user).copied();
                if let Ok(full_at) = rate.take(full_at, *at) {
                    self.starts_full_at.insert(user.clone(), full_at);
                }
            }
            Write::FreeSlot { user, .. } => *self.slots.entry(user.clone()).or_default() -= 1,
            Write::TakeTurn { session, job } => {
                if self.turns.insert(*session, *job) != Some(*job) {
                    self.turn(*session, *job, true);
                }
            }
            Write::EndTurn { session, job } => {
                if self.turns.get(session) == Some(job) {
                    self.turns.remove(session);
                    self.turn(*session, *job, false);
                }
            }
            Write::Output { .. }
            | Write::RequireOpen(_)
            | Write::RequireCapacity { .. }
            | Write::RequireStorage { .. }
            | Write::RequireQueueRoom { .. }
            | Write::RequireRunRoom { .. } => {}
        }
    }

    /// Whether the memory of the other sessions leaves enough for this one.
    fn has_room(&self, session: SessionId, size: Size) -> bool {
        let others = self.sessions.values().map(|read| &read.value).filter(|other| {
            other.id() != session && !matches!(other, Session::Ended(_) | Session::Waiting(_))
        });
        let used: u32 = others.map(|other| other.common().spec.size.memory_mib()).sum();
        self.memory_mib.is_none_or(|limit| used + size.memory_mib() <= limit)
    }

    fn turn(&mut self, session: SessionId, job: JobId, began: bool) {
        self.history.push(Change::Turn { session, job, began });
    }

    /// The bytes that the transaction appends to each output. Pieces of one output must be contiguous.
    fn output_ends(&self, writes: &[Write]) -> Result<Vec<Added>, CommitError> {
        let mut added: Vec<Added> = Vec::new();
        for write in writes {
            let Write::Output { job, stream, offset, bytes } = write else { continue };
            let key = (*job, *stream);
            let place = added.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
                added.push((key, Vec::new()));
                added.len() - 1
            });
            let stored = self.output.get(&key).map_or(0, Vec::len) + added[place].1.len();
            if *offset != stored as u64 {
                return Err(CommitError::Conflict);
            }
            added[place].1.extend_from_slice(bytes.expose());
        }
        Ok(added)
    }
}

fn fits<T>(found: Option<&Versioned<T>>, expect: Expect) -> bool {
    match expect {
        Expect::New => found.is_none(),
        Expect::At(version) => found.is_some_and(|found| found.version == version),
    }
}

fn next<T: Clone>(value: &T, expect: Expect) -> Versioned<T> {
    let version = match expect {
        Expect::New => Version(1),
        Expect::At(Version(read)) => Version(read + 1),
    };
    Versioned { value: value.clone(), version }
}
