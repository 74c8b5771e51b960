//! The items of a record: the record itself, its part, and the pointer to it.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use domain::{
    Timestamp,
    job::Job,
    ports::{Expect, Version},
    session::{Admission, Session},
    warm::Warm,
    webhook::Delivery,
};

use super::{
    super::{
        error::StoreError,
        item::Item,
        keys::{
            Attributes, DUE, DUE_KEY, Key, LIST, LIST_KEY, PART, RECORD, STATUS, TTL,
            deliveries_of, due_shard, ended_shard, inline, number_value, of_user, shard_of,
            status_class, timestamp,
        },
        record::{self, Record},
    },
    Piece, Plan, concurrency, extend_output,
};

/// How long a final warm task is kept, counted from its creation. Only late task events read it.
/// Seconds.
const WARM_RETENTION: u64 = 30 * 24 * 60 * 60;
/// The largest item of a job that includes its output: a write unit, without the attributes that this write
/// leaves as they are. Bytes.
const MAX_SIZE_WITH_OUTPUT: usize = 1024 - 180;

impl Plan {
    pub(super) fn session(&mut self, session: &Session, expect: Expect) -> Result<(), StoreError> {
        let (id, user) = (session.id(), session.user());
        let shard = shard_of(id.ulid());
        let due = if let Session::Ended(ended) = session {
            Some((ended_shard(shard), timestamp(ended.ended_at())))
        } else {
            session.due_at().map(|at| (due_shard(shard), timestamp(at)))
        };
        let list = (of_user(user), id.to_string());
        let (item, _) = self.record(Key::record(id), Key::part(id), session, expect, list)?;
        let class = status_class(session.status().name());
        self.items.push(set_due(item, due).set(STATUS, text(class)));
        if expect == Expect::New {
            self.mailbox(id).open = Some(session.is_open());
        } else if may_close(session) {
            self.mailbox(id).open = Some(false);
        }

        let pointer = Key::waiting(user, id);
        let is_waiting = matches!(session, Session::Waiting(_));
        if is_waiting && expect == Expect::New {
            self.items.push(Item::put(pointer, Attributes::new()));
        } else if expect != Expect::New && may_have_waited(session) {
            self.items.push(Item::delete(pointer));
        }
        Ok(())
    }

    pub(super) fn job(&mut self, job: &Job, expect: Expect) -> Result<(), StoreError> {
        let (id, session) = (job.id(), job.common().session);
        let list = (session.to_string(), id.to_string());
        let (item, has_part) = self.record(Key::record(id), Key::part(id), job, expect, list)?;
        let growth = self.growth.remove(&id).unwrap_or_default();
        // Jobs have no entry in the index `due`, but for those that an earlier version wrote.
        let item = if expect == Expect::New { item } else { set_due(item, None) };
        let mut item = extend_output(item, growth);
        let pieces = self.output.remove(&id).unwrap_or_default();
        let is_inline = is_inline(job, &pieces, item.size());
        let is_one_item = !has_part && (is_inline || pieces.is_empty());
        if let Some(at) = expires_at(job, &pieces).filter(|_| is_one_item) {
            item = item.set(TTL, number_value(at.millis() / 1000 + 1));
        }
        if is_inline {
            for Piece { stream, bytes, .. } in &pieces {
                let bytes = AttributeValue::B(Blob::new(bytes.expose().as_slice()));
                item = item.set(inline(*stream), bytes);
            }
        } else {
            self.chunks(id, &pieces);
        }
        self.items.push(item);

        let Some(concurrency) = concurrency(job) else { return Ok(()) };
        match (expect, job.due_at()) {
            (Expect::New, Some(_)) => self.mailbox(session).added.push((concurrency, id)),
            (Expect::At(_), None) => self.mailbox(session).removed.push((concurrency, id)),
            (Expect::New, None) | (Expect::At(_), Some(_)) => {}
        }
        Ok(())
    }

    pub(super) fn delivery(
        &mut self,
        delivery: &Delivery,
        expect: Expect,
    ) -> Result<(), StoreError> {
        let payload = delivery.payload();
        let id = payload.id;
        let due = delivery.due_at().map(|at| (due_shard(shard_of(id.ulid())), timestamp(at)));
        let list = (deliveries_of(&payload.user), format!("{id}#{}", payload.session));
        let (item, _) = self.record(Key::record(id), Key::part(id), delivery, expect, list)?;
        self.items.push(set_due(item, due));
        Ok(())
    }

    pub(super) fn warm(&mut self, warm: &Warm, expect: Expect) -> Result<(), StoreError> {
        let id = warm.id();
        let due_at = warm.due_at();
        let due = due_at.map(|at| (due_shard(shard_of(id.ulid())), timestamp(at)));
        let drop_at = id.ulid().timestamp_ms() / 1000 + WARM_RETENTION;
        let ttl = due_at.is_none().then(|| number_value(drop_at));
        let item = versioned(Item::update(Key::record(id)), expect);
        let item = item.set(RECORD, record::encode(warm)?.record);
        self.items.push(set_due(item, due).set_or_remove(TTL, ttl));

        let pointer = Key::pool_member(warm.kind(), id);
        match (expect, due_at) {
            (Expect::New, Some(_)) => self.items.push(Item::put(pointer, Attributes::new())),
            (Expect::At(_), None) => self.items.push(Item::delete(pointer)),
            (Expect::New, None) | (Expect::At(_), Some(_)) => {}
        }
        Ok(())
    }

    /// The update of a record, with its entry in the index `list`, and whether the record has a part. Also adds the part
    /// of a new record.
    fn record<T: Record>(
        &mut self,
        key: Key,
        part: Key,
        record: &T,
        expect: Expect,
        (list, list_key): (String, String),
    ) -> Result<(Item, bool), StoreError> {
        let encoded = record::encode(record)?;
        let is_split = encoded.part.is_some();
        let mut item = versioned(Item::update(key), expect).set(RECORD, encoded.record);
        let has_part = AttributeValue::Bool(true);
        match (expect, encoded.part) {
            (Expect::New, attributes) => {
                item = item.set(LIST, text(&list)).set(LIST_KEY, text(&list_key));
                if let Some(attributes) = attributes {
                    item = item.set(PART, has_part);
                    self.items.push(Item::put(part, attributes));
                }
            }
            (Expect::At(_), Some(_)) => item = item.when(PART, "=", has_part),
            (Expect::At(_), None) => {}
        }
        Ok((item, is_split))
    }
}

/// Whether this is the whole output of a job that is not written again, and the item of its record, which has this
/// size without it, is billed as one unit with it.
fn is_inline(job: &Job, pieces: &[Piece], size: usize) -> bool {
    let of_stream = |stream| pieces.iter().filter(|piece| piece.stream == stream).count();
    let is_whole = |piece: &Piece| piece.offset == 0 && of_stream(piece.stream) == 1;
    let bytes: usize = pieces.iter().map(|piece| piece.bytes.expose().len()).sum();
    job.due_at().is_none() && pieces.iter().all(is_whole) && size + bytes <= MAX_SIZE_WITH_OUTPUT
}

/// When DynamoDB may remove the item of a finished job, if all of the job is in this item: with these pieces, its output
/// too. A job of several items is removed with its session.
fn expires_at(job: &Job, pieces: &[Piece]) -> Option<Timestamp> {
    let Job::Finished(finished) = job else { return None };
    let (stdout, stderr) = job.output();
    let written: usize = pieces.iter().map(|piece| piece.bytes.expose().len()).sum();
    finished.keep_until().filter(|_| stdout.stored + stderr.stored == written as u64)
}

/// Whether the session's previous state may have been waiting. A wrong guess is harmless: readers of
/// the pointers check the records too.
fn may_have_waited(session: &Session) -> bool {
    let queues = session.common().spec.admission == Admission::Queue;
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

/// Whether the session's previous state may have taken jobs, and this one takes none.
fn may_close(session: &Session) -> bool {
    let was_closed = match session {
        Session::Stopping(stopping) => stopping.is_stop_sent(),
        Session::Ended(_) => true,
        Session::Waiting(_)
        | Session::Queued(_)
        | Session::Provisioning(_)
        | Session::Starting(_)
        | Session::Ready(_) => false,
    };
    !session.is_open() && !was_closed
}

fn versioned(item: Item, expect: Expect) -> Item {
    match expect {
        Expect::New => item.next_version(1),
        Expect::At(Version(read)) => item.next_version(read + 1),
    }
}

fn set_due(item: Item, due: Option<(String, String)>) -> Item {
    let (shard, key) = due.unzip();
    item.set_or_remove(DUE, shard.map(AttributeValue::S))
        .set_or_remove(DUE_KEY, key.map(AttributeValue::S))
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}
