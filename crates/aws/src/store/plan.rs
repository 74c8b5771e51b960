//! What the writes of a transaction do to items.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use domain::{
    JobId, SessionId,
    command::Concurrency,
    job::Job,
    ports::{CommitError, IdempotentResponse, Stream, Write},
};

use super::{
    fault::Fault,
    item::{Item, Refusal},
    keys::{ACTIVE, BYTES, EXPIRES, Key, OPEN, RECORD, TTL, TURN},
    record, writing,
};

mod records;

/// An item may have 400 KB; output comes in pieces that are smaller by far, but need not.
const LARGEST_PIECE: usize = 256 * 1024;
/// The items of a transaction, in the order of its writes.
pub(super) fn items(writes: Vec<Write>) -> Result<Vec<Item>, CommitError> {
    let mut plan = Plan::of(&writes)?;
    for write in writes {
        plan.add(write).map_err(writing)?;
    }
    Ok(plan.finish())
}

struct Plan {
    items: Vec<Item>,
    /// Where the output of a job stands afterwards, until its record takes it.
    ends: HashMap<JobId, Ends>,
    /// Jobs that never take a turn.
    parallel: HashSet<JobId>,
}

/// Where the stored output of each stream begins to grow, and where it ends then.
type Ends = HashMap<Stream, (u64, u64)>;

impl Plan {
    fn of(writes: &[Write]) -> Result<Self, CommitError> {
        let mut ends: HashMap<JobId, Ends> = HashMap::new();
        let mut parallel = HashSet::new();
        for write in writes {
            if let Write::Output { job, stream, offset, bytes } = write {
                let of_job = ends.entry(*job).or_default();
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
        Ok(Self { items: Vec::with_capacity(writes.len() + 4), ends, parallel })
    }

    fn add(&mut self, write: Write) -> Result<(), Fault> {
        match write {
            Write::Session(session, expect) => self.session(&session, expect)?,
            Write::Job(job, expect) => self.job(&job, expect)?,
            Write::Entry(entry) => {
                let attributes = [(RECORD.to_owned(), record::plain(&entry)?)].into();
                let key = Key::entry(entry.session, entry.seq);
                self.items.push(Item::put(key, attributes).when_none(RECORD));
            }
            Write::Output { job, stream, offset, bytes } => {
                self.output(job, stream, offset, bytes.expose());
            }
            Write::Delivery(delivery, expect) => self.delivery(&delivery, expect)?,
            Write::Warm(warm, expect) => self.warm(&warm, expect)?,
            Write::IdempotentResponse(answer) => self.items.push(kept(&answer)?),
            Write::TakeSlot { user, limit } => {
                let slots = Item::update(Key::slots(&user)).or(Refusal::QuotaReached);
                let slots = if limit == 0 {
                    // Who never had a slot has no count, and gets none either.
                    slots.when(ACTIVE, "<", number(limit))
                } else {
                    slots.when_none_or(ACTIVE, "<", number(limit))
                };
                self.items.push(slots.add(ACTIVE, number(1)));
            }
            Write::FreeSlot { user } => {
                let slots = Item::update(Key::slots(&user)).or(Refusal::Moot);
                let slots = slots.when(ACTIVE, ">", number(0));
                self.items.push(slots.add(ACTIVE, number(-1)));
            }
            Write::TakeTurn { session, job } => {
                let turn = Item::update(Key::turn(session));
                let turn = turn.when_none_or_has(TURN, AttributeValue::S(job.to_string()));
                self.items.push(turn.add(TURN, AttributeValue::Ss(vec![job.to_string()])));
            }
            Write::EndTurn { session, job } => self.end_turn(session, job),
            Write::RequireOpen(session) => {
                let check = Item::check(Key::record(session)).or(Refusal::Closed);
                self.items.push(check.when(OPEN, "=", AttributeValue::Bool(true)));
            }
        }
        Ok(())
    }

    /// Output without its job's record in the same transaction still has its end there.
    fn finish(mut self) -> Vec<Item> {
        for (job, ends) in std::mem::take(&mut self.ends) {
            self.items.push(at_ends(Item::update(Key::record(job)), ends));
        }
        self.items
    }

    fn output(&mut self, job: JobId, stream: Stream, offset: u64, bytes: &[u8]) {
        for (number, piece) in (0..).zip(bytes.chunks(LARGEST_PIECE)) {
            let from = offset + number * LARGEST_PIECE as u64;
            let bytes = AttributeValue::B(Blob::new(piece));
            let key = Key::piece(job, stream, from);
            self.items.push(Item::put(key, [(BYTES.to_owned(), bytes)].into()));
        }
    }

    fn end_turn(&mut self, session: SessionId, job: JobId) {
        // What never took the turn need not pay for ending it.
        if !self.parallel.contains(&job) {
            let turn = Item::update(Key::turn(session));
            self.items.push(turn.take_out(TURN, AttributeValue::Ss(vec![job.to_string()])));
        }
    }
}

fn kept(answer: &IdempotentResponse) -> Result<Item, Fault> {
    let expires = answer.expires_at.millis();
    let attributes = [
        (RECORD.to_owned(), record::plain(answer)?),
        (EXPIRES.to_owned(), number(expires)),
        (TTL.to_owned(), number(expires / 1000 + 1)),
    ];
    let item = Item::put(Key::answer(&answer.user, &answer.key), attributes.into());
    let item = item.when_none_or(EXPIRES, "<=", number(answer.created_at.millis()));
    Ok(item.or(Refusal::Answered))
}

/// Output is appended where the last write left off, and nowhere else.
fn at_ends(item: Item, ends: Ends) -> Item {
    ends.into_iter().fold(item, |item, (stream, (from, to))| {
        let name = stream.name();
        let item = match from {
            0 => item.when_none_or(name, "=", number(0)),
            _ => item.when(name, "=", number(from)),
        };
        item.set(name, number(to))
    })
}

fn concurrency(job: &Job) -> Option<Concurrency> {
    job.command().map(|command| command.concurrency)
}

fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

#[cfg(test)]
mod tests;
