//! Translates the writes of a commit into items of a transaction.

use std::collections::{BTreeMap, HashMap, HashSet};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use domain::{
    JobId, Secret, SessionId, UserId,
    command::Concurrency,
    job::Job,
    ports::{CommitError, IdempotentResponse, Stream, Write},
    timeline::Entry,
    user_event::UserEvent,
};

use super::{
    error::StoreError,
    item::{ConditionFailure, Item},
    keys::{ACTIVE, BYTES, EXPIRES, Key, RECORD, TTL, number_value},
    record, timeline, writing,
};

mod mailbox;
mod records;
mod slots;

use mailbox::Mailbox;
pub(super) use slots::Slots;

/// Largest chunk of output in one item. DynamoDB accepts items up to 400 KB. Bytes.
const MAX_CHUNK: usize = 256 * 1024;

/// What a commit writes.
#[derive(Debug)]
pub(super) struct Planned {
    /// In the order of the writes.
    pub(super) items: Vec<Item>,
    /// Become items when their numbers are known.
    pub(super) events: Vec<UserEvent>,
    /// Becomes an item when the counters are known.
    pub(super) counter: Option<CounterChange>,
}

/// How the number of all sessions of the deployment changes.
#[derive(Debug, Clone, Copy)]
pub(super) enum CounterChange {
    /// This session is counted from now on.
    Raise(SessionId),
    /// This session is not counted any more.
    Lower(SessionId),
}

/// What these writes are in the table.
pub(super) fn of(writes: Vec<Write>) -> Result<Planned, CommitError> {
    let mut plan = Plan::of(&writes)?;
    let (output, others): (Vec<_>, Vec<_>) =
        writes.into_iter().partition(|write| matches!(write, Write::Output { .. }));
    for write in output.into_iter().chain(others) {
        plan.add(write).map_err(writing)?;
    }
    plan.finish().map_err(|error| writing(error).into())
}

struct Plan {
    items: Vec<Item>,
    events: Vec<UserEvent>,
    counter: Option<CounterChange>,
    /// The growth of each job's output, until the item of the job's record includes it.
    growth: HashMap<JobId, Growth>,
    /// Output that is not an item yet.
    output: HashMap<JobId, Vec<Piece>>,
    /// Parallel jobs, which never take a turn.
    parallel: HashSet<JobId>,
    mailboxes: BTreeMap<SessionId, Mailbox>,
    slots: BTreeMap<UserId, Slots>,
    /// Timeline entries, in their order.
    entries: BTreeMap<SessionId, Vec<Entry>>,
}

/// Output from this offset on.
#[derive(Debug)]
struct Piece {
    stream: Stream,
    offset: u64,
    bytes: Secret<Vec<u8>>,
}

/// The offsets at which the stored output of each stream ends before and after the commit.
type Growth = HashMap<Stream, (u64, u64)>;

impl Plan {
    fn of(writes: &[Write]) -> Result<Self, CommitError> {
        let mut growth: HashMap<JobId, Growth> = HashMap::new();
        let mut parallel = HashSet::new();
        for write in writes {
            if let Write::Output { job, stream, offset, bytes } = write {
                let of_job = growth.entry(*job).or_default();
                let (_, end) = of_job.entry(*stream).or_insert((*offset, *offset));
                if end != offset {
                    return Err(CommitError::Conflict);
                }
                *end += bytes.expose().len() as u64;
            } else if let Write::Job(job, _) = write
                && concurrency(job) == Some(Concurrency::Parallel)
            {
                parallel.insert(job.id());
            }
        }
        Ok(Self {
            items: Vec::with_capacity(writes.len() + 4),
            events: Vec::new(),
            counter: None,
            growth,
            output: HashMap::new(),
            parallel,
            mailboxes: BTreeMap::new(),
            slots: BTreeMap::new(),
            entries: BTreeMap::new(),
        })
    }

    /// Adds a write. Output comes before the record of its job.
    fn add(&mut self, write: Write) -> Result<(), StoreError> {
        match write {
            Write::Session(session, expect) => self.session(&session, expect)?,
            Write::Job(job, expect) => self.job(&job, expect)?,
            Write::Entry(entry) => self.entries.entry(entry.session).or_default().push(*entry),
            Write::UserEvent(event) => self.events.push(*event),
            Write::Output { job, stream, offset, bytes } => {
                let piece = Piece { stream, offset, bytes };
                self.output.entry(job).or_default().push(piece);
            }
            Write::Delivery(delivery, expect) => self.delivery(&delivery, expect)?,
            Write::Warm(warm, expect) => self.warm(&warm, expect)?,
            Write::IdempotentResponse(response) => {
                self.items.push(idempotent_response(&response)?);
            }
            Write::TakeSlot { user, limit } => self.slots(user).limit = Some(limit),
            Write::CountStart { user, at, rate } => self.slots(user).start = Some((at, rate)),
            Write::FreeSlot { user, session } => {
                self.items.push(free_slot(&user));
                self.counter = Some(CounterChange::Lower(session));
            }
            // Tasks share no host, but there may be a ceiling.
            Write::RequireCapacity { session, .. } => {
                self.counter = Some(CounterChange::Raise(session))
            }
            Write::TakeTurn { session, job } => self.mailbox(session).takes_turn = Some(job),
            Write::EndTurn { session, job } => self.end_turn(session, job),
            Write::RequireOpen(session) => self.mailbox(session).must_be_open = true,
            // The sizes of commands are not counted.
            Write::RequireQueueRoom { session, limits, .. } => {
                self.mailbox(session).queue_limit = Some(limits.jobs);
            }
            // The policy on AWS sets none of these limits: each would be a counter that is billed.
            Write::RequireStorage { .. } | Write::RequireRunRoom { .. } => {}
        }
        Ok(())
    }

    /// The items and events. Output whose job is not written in the same commit still changes the job's item.
    fn finish(mut self) -> Result<Planned, StoreError> {
        for (job, pieces) in std::mem::take(&mut self.output) {
            self.chunks(job, &pieces);
        }
        for (job, growth) in std::mem::take(&mut self.growth) {
            self.items.push(extend_output(Item::update(Key::record(job)), growth));
        }
        for entries in self.entries.into_values() {
            self.items.push(timeline::item(&entries)?);
        }
        for (user, slots) in self.slots {
            self.items.push(slots.item(Key::slots(&user)));
        }
        for (session, mailbox) in self.mailboxes {
            self.items.push(mailbox.item(session));
        }
        Ok(Planned { items: self.items, events: self.events, counter: self.counter })
    }

    fn chunks(&mut self, job: JobId, pieces: &[Piece]) {
        for Piece { stream, offset, bytes } in pieces {
            for (number, chunk) in (0..).zip(bytes.expose().chunks(MAX_CHUNK)) {
                let from = offset + number * MAX_CHUNK as u64;
                let bytes = AttributeValue::B(Blob::new(chunk));
                let key = Key::chunk(job, *stream, from);
                self.items.push(Item::put(key, [(BYTES.to_owned(), bytes)].into()));
            }
        }
    }

    /// Adds nothing for a parallel job: it holds no turn, and the write would be billed.
    fn end_turn(&mut self, session: SessionId, job: JobId) {
        if !self.parallel.contains(&job) {
            self.mailbox(session).ends_turn = Some(job);
        }
    }

    fn slots(&mut self, user: UserId) -> &mut Slots {
        self.slots.entry(user).or_default()
    }

    fn mailbox(&mut self, session: SessionId) -> &mut Mailbox {
        self.mailboxes.entry(session).or_default()
    }
}

fn idempotent_response(response: &IdempotentResponse) -> Result<Item, StoreError> {
    let expires = response.expires_at.millis();
    let attributes = [
        (RECORD.to_owned(), record::plain(response)?),
        (EXPIRES.to_owned(), number_value(expires)),
        (TTL.to_owned(), number_value(expires / 1000 + 1)),
    ];
    let item = Item::put(Key::answer(&response.user, &response.key), attributes.into());
    let item = item.when_none_or(EXPIRES, "<=", number_value(response.created_at.millis()));
    Ok(item.on_failure(ConditionFailure::AlreadyAnswered))
}

fn free_slot(user: &UserId) -> Item {
    let slots = Item::update(Key::slots(user)).on_failure(ConditionFailure::Skip);
    slots.when(ACTIVE, ">", number_value(0)).add(ACTIVE, number_value(-1))
}

/// Moves the end of a job's output, on condition that no other write has moved it.
fn extend_output(item: Item, growth: Growth) -> Item {
    growth.into_iter().fold(item, |item, (stream, (from, to))| {
        let name = stream.name();
        let item = match from {
            0 => item.when_none_or(name, "=", number_value(0)),
            _ => item.when(name, "=", number_value(from)),
        };
        item.set(name, number_value(to))
    })
}

fn concurrency(job: &Job) -> Option<Concurrency> {
    job.command().map(|command| command.concurrency)
}

#[cfg(test)]
mod tests;
