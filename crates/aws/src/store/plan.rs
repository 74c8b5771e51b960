//! What the writes of a transaction do to items.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use domain::{
    JobId, SessionId,
    command::Concurrency,
    job::Job,
    ports::{Answer, CommitError, Expect, Stream, Version, Write},
    session::{Admission, Session},
    warm::Warm,
    webhook::Delivery,
};

use super::{
    fault::Fault,
    item::{Item, Refusal},
    keys::{
        ACTIVE, Attributes, BYTES, DUE, DUE_KEY, EXPIRES, Key, LIST, LIST_KEY, OPEN, PART, RECORD,
        STATUS, TTL, TURN, due_shard, ended_shard, hooks_of, instant, of_user, spread,
    },
    record::{self, Record},
    writing,
};

/// An item may have 400 KB; output comes in pieces that are smaller by far, but need not.
const LARGEST_PIECE: usize = 256 * 1024;
/// How long after it was made a final warm task is kept. Nobody asks for it but late events. Seconds.
const WARM_KEPT: u64 = 30 * 24 * 60 * 60;

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
            Write::Answer(answer) => self.items.push(kept(&answer)?),
            Write::TakeSlot { user, limit } => {
                let (one, limit) = (number(1), number(limit));
                let slots = Item::update(Key::slots(&user)).or(Refusal::QuotaReached);
                let slots = match limit.as_n().map(String::as_str) {
                    Ok("0") => slots.when(ACTIVE, "<", limit),
                    _ => slots.when_none_or(ACTIVE, "<", limit),
                };
                self.items.push(slots.add(ACTIVE, one));
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

    fn session(&mut self, session: &Session, expect: Expect) -> Result<(), Fault> {
        let (id, user) = (session.id(), session.user());
        let shard = spread(id.ulid());
        let due = if let Session::Ended(ended) = session {
            Some((ended_shard(shard), instant(ended.ended_at())))
        } else {
            session.due_at().map(|at| (due_shard(shard), instant(at)))
        };
        let open = session.is_open().then_some(AttributeValue::Bool(true));
        let list = (of_user(user), id.to_string());
        let item = self.record(Key::record(id), Key::part(id), session, expect, list)?;
        let item = is_due(item, due).set_or_remove(OPEN, open);
        self.items.push(item.set(STATUS, text(session.status().name())));

        let pointer = Key::waiting(user, id);
        let waits = matches!(session, Session::Waiting(_));
        if waits && expect == Expect::New {
            self.items.push(Item::put(pointer, Attributes::new()));
        } else if expect != Expect::New && may_have_waited(session) {
            self.items.push(Item::delete(pointer));
        }
        Ok(())
    }

    fn job(&mut self, job: &Job, expect: Expect) -> Result<(), Fault> {
        let (id, session) = (job.id(), job.head().session);
        let due = job
            .due_at()
            .map(|at| (due_shard(spread(id.ulid())), format!("{}#{session}", instant(at))));
        let list = (session.to_string(), id.to_string());
        let item = self.record(Key::record(id), Key::part(id), job, expect, list)?;
        let ends = self.ends.remove(&id).unwrap_or_default();
        self.items.push(at_ends(is_due(item, due), ends));

        let Some(concurrency) = concurrency(job) else { return Ok(()) };
        let pointer = Key::open(session, concurrency, id);
        match (expect, job.due_at()) {
            (Expect::New, Some(_)) => self.items.push(Item::put(pointer, Attributes::new())),
            (Expect::At(_), None) => self.items.push(Item::delete(pointer)),
            (Expect::New, None) | (Expect::At(_), Some(_)) => {}
        }
        Ok(())
    }

    fn delivery(&mut self, delivery: &Delivery, expect: Expect) -> Result<(), Fault> {
        let parcel = delivery.parcel();
        let id = parcel.id;
        let due = delivery.due_at().map(|at| (due_shard(spread(id.ulid())), instant(at)));
        let list = (hooks_of(&parcel.user), format!("{id}#{}", parcel.session));
        let item = self.record(Key::record(id), Key::part(id), delivery, expect, list)?;
        self.items.push(is_due(item, due));
        Ok(())
    }

    fn warm(&mut self, warm: &Warm, expect: Expect) -> Result<(), Fault> {
        let id = warm.id();
        let lives = warm.due_at();
        let due = lives.map(|at| (due_shard(spread(id.ulid())), instant(at)));
        let drop_at = id.ulid().timestamp_ms() / 1000 + WARM_KEPT;
        let ttl = lives.is_none().then(|| number(drop_at));
        let item = versioned(Item::update(Key::record(id)), expect);
        let item = item.set(RECORD, record::encode(warm)?.record);
        self.items.push(is_due(item, due).set_or_remove(TTL, ttl));

        let pointer = Key::pooled(warm.kind(), id);
        match (expect, lives) {
            (Expect::New, Some(_)) => self.items.push(Item::put(pointer, Attributes::new())),
            (Expect::At(_), None) => self.items.push(Item::delete(pointer)),
            (Expect::New, None) | (Expect::At(_), Some(_)) => {}
        }
        Ok(())
    }

    /// The update of a record that is listed; its part, if it is new and has one, is written too.
    fn record<T: Record>(
        &mut self,
        key: Key,
        part: Key,
        record: &T,
        expect: Expect,
        (list, list_key): (String, String),
    ) -> Result<Item, Fault> {
        let encoded = record::encode(record)?;
        let mut item = versioned(Item::update(key), expect).set(RECORD, encoded.record);
        let beside = AttributeValue::Bool(true);
        match (expect, encoded.part) {
            (Expect::New, part_of_it) => {
                item = item.set(LIST, text(&list)).set(LIST_KEY, text(&list_key));
                if let Some(attributes) = part_of_it {
                    item = item.set(PART, beside);
                    self.items.push(Item::put(part, attributes));
                }
            }
            (Expect::At(_), Some(_)) => item = item.when(PART, "=", beside),
            (Expect::At(_), None) => {}
        }
        Ok(item)
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

fn kept(answer: &Answer) -> Result<Item, Fault> {
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

/// Whether the session may have stood in line just before. Wrong guesses are harmless: who reads the
/// line looks at the records too.
fn may_have_waited(session: &Session) -> bool {
    let queues = session.head().spec.admission == Admission::Queue;
    let next = match session {
        Session::Queued(_) => true,
        Session::Stopping(_) | Session::Ended(_) => session.ready_at().is_none(),
        Session::Waiting(_)
        | Session::Provisioning(_)
        | Session::Starting(_)
        | Session::Ready(_) => false,
    };
    queues && next
}

fn concurrency(job: &Job) -> Option<Concurrency> {
    job.command().map(|command| command.concurrency)
}

fn versioned(item: Item, expect: Expect) -> Item {
    match expect {
        Expect::New => item.next_version(1),
        Expect::At(Version(read)) => item.next_version(read + 1),
    }
}

fn is_due(item: Item, due: Option<(String, String)>) -> Item {
    let (shard, key) = due.unzip();
    item.set_or_remove(DUE, shard.map(AttributeValue::S))
        .set_or_remove(DUE_KEY, key.map(AttributeValue::S))
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

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
