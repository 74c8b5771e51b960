//! The names of attributes and indexes, and the keys of items.

use std::{collections::HashMap, fmt::Display};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    JobId, SessionId, TaskId, Timestamp, UserId, WarmId,
    command::Concurrency,
    ports::Stream,
    session::Status,
    size::{Network, Size},
    user_event::EventNumber,
    warm::Kind,
};
use ulid::Ulid;

/// An item's attributes by name.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";
/// The record as JSON.
pub(crate) const RECORD: &str = "record";
/// Whether the record has a part: an item with its large constant values.
pub(super) const PART: &str = "part";
/// A command's standard input, in the part of its job.
pub(super) const STDIN: &str = "stdin";
pub(crate) const VERSION: &str = "version";
/// The token of the single update that wrote the item last.
pub(super) const WRITTEN_BY: &str = "by";
/// Whether a session accepts jobs.
pub(super) const OPEN: &str = "open";
/// How a session has ended, or that it has not: see [`status_class`]. The index `list` has it too.
pub(super) const STATUS: &str = "status";
/// The job that holds a session's serial turn: a set of at most one id.
pub(super) const TURN: &str = "turn";
/// How many sessions of a user hold a slot.
pub(super) const ACTIVE: &str = "active";
/// Which counter of all sessions counts a session, if one does.
pub(super) const COUNTER: &str = "counter";
/// Partition of the counters of all sessions.
pub(super) const SESSION_COUNTERS: &str = "sessionCounters";
/// The number of a user's last event when a session of the user ended, in the item of the user's slots, which does not
/// expire.
pub(super) const LAST_EVENT: &str = "lastEvent";
/// When the bucket is full from which a user's starts take. Milliseconds since 1970.
pub(super) const STARTS_FULL_AT: &str = "startsFullAt";
/// When an idempotency key may be used again. Milliseconds since 1970.
pub(super) const EXPIRES: &str = "expires";
/// A chunk of output.
pub(crate) const BYTES: &str = "bytes";
/// The whole output of a finished job, in its record's item.
pub(super) const fn inline(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdoutBytes",
        Stream::Stderr => "stderrBytes",
    }
}

/// When DynamoDB may expire the item. Seconds since 1970.
pub(crate) const TTL: &str = "ttl";

/// The index of the lists that users request, by owner.
pub(super) const LIST: &str = "list";
pub(super) const LIST_KEY: &str = "listKey";
/// The index of due records, and of ended sessions.
pub(super) const DUE: &str = "due";
pub(super) const DUE_KEY: &str = "dueKey";

/// Partitions of the index `due`. Each accepts 1,000 writes per second.
pub(super) const SHARDS: u128 = 4;

/// The session's status in the index `list`: `stopped`, `failed`, or `live` for all others. Those are told apart by their
/// records: a user has few of them, and each change of the attribute would be billed like a write.
pub(super) fn status_class(status: &str) -> &str {
    let ended = [Status::Stopped, Status::Failed].map(Status::name);
    if ended.contains(&status) { status } else { "live" }
}

/// The key of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    pub(super) fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    /// The record with this id.
    pub(crate) fn record(id: impl Display) -> Self {
        Self::new(id.to_string(), RECORD)
    }

    /// The part of the record with this id. Sorts directly after the record.
    pub(super) fn part(id: impl Display) -> Self {
        Self::new(id.to_string(), "record#part")
    }

    /// Whether the session takes jobs, its unfinished commands, and its turn.
    pub(super) fn mailbox(session: SessionId) -> Self {
        Self::new(session.to_string(), "mailbox")
    }

    pub(super) fn entry(session: SessionId, seq: u32) -> Self {
        Self::new(session.to_string(), format!("{ENTRY}{seq:010}"))
    }

    pub(super) fn chunk(job: JobId, stream: Stream, offset: u64) -> Self {
        Self::new(job.to_string(), format!("{}{offset:020}", output(stream)))
    }

    pub(super) fn slots(user: &UserId) -> Self {
        Self::new(of_user(user), "slots")
    }

    /// A pointer to a waiting session of the user.
    pub(super) fn waiting(user: &UserId, session: SessionId) -> Self {
        Self::new(of_user(user), format!("{WAITING}{session}"))
    }

    /// The response to a request with an idempotency key. The user is the whole partition key and the
    /// idempotency key the whole sort key, so no two users or keys can collide.
    pub(super) fn answer(user: &UserId, key: &str) -> Self {
        Self::new(format!("answers#{user}"), key)
    }

    /// An event of a user.
    pub(super) fn user_event(user: &UserId, EventNumber(number): EventNumber) -> Self {
        Self::new(events_of(user), format!("{number:020}"))
    }

    /// A pointer to a live warm task of this kind.
    pub(super) fn pool_member(kind: &Kind, warm: WarmId) -> Self {
        Self::new(pool(kind), warm.to_string())
    }

    /// The connection of a task's runner.
    pub(crate) fn link(task: &TaskId) -> Self {
        Self::new(format!("link#{task}"), "connection")
    }

    /// A request to a task's runner.
    pub(crate) fn link_request(task: &TaskId, name: &str) -> Self {
        Self::new(format!("link#{task}"), format!("request#{name}"))
    }

    /// The key of the tokens of all connections.
    pub(crate) fn link_key() -> Self {
        Self::new("link", "key")
    }

    pub(crate) fn attributes(&self) -> Attributes {
        HashMap::from([
            (PK.to_owned(), AttributeValue::S(self.pk.clone())),
            (SK.to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }

    /// The key of an item that was read. None if the item has none.
    pub(super) fn of(item: &Attributes) -> Option<Self> {
        Some(Self::new(text(item, PK)?, text(item, SK)?))
    }
}

/// Prefix of the sort keys of a session's timeline.
pub(super) const ENTRY: &str = "entry#";
/// Prefix of the sort keys of a user's waiting sessions.
pub(super) const WAITING: &str = "waiting#";

/// The set of the ids of a session's unfinished commands with this concurrency, in its mailbox.
pub(super) const fn unfinished(concurrency: Concurrency) -> &'static str {
    match concurrency {
        Concurrency::Serial => "serial",
        Concurrency::Parallel => "parallel",
    }
}

/// Prefix of the sort keys of a job's output.
pub(super) const fn output(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "out#stdout#",
        Stream::Stderr => "out#stderr#",
    }
}

pub(super) fn of_user(user: &UserId) -> String {
    format!("user#{user}")
}

/// Partition of the index `list` with a user's deliveries.
pub(super) fn deliveries_of(user: &UserId) -> String {
    format!("hooks#{user}")
}

/// Partition with a user's events.
pub(super) fn events_of(user: &UserId) -> String {
    format!("events#{user}")
}

/// The partition of a pool. The image is last because it may contain any character.
pub(super) fn pool(kind: &Kind) -> String {
    let network = match kind.network {
        Network::None => "none",
        Network::Egress => "egress",
    };
    let size = &kind.size;
    // A task of Fargate has at least the default disk, which older keys do not name.
    let disk = match size.disk_mib() {
        disk if disk == Size::DEFAULT.disk_mib() => String::new(),
        disk => format!("#{disk}"),
    };
    format!("pool#{}#{}{disk}#{network}#{}", size.cpu(), size.memory_mib(), kind.image)
}

/// Partition of the index `due` with the due records of this shard, taken modulo the shards.
pub(super) fn due_shard(shard: u128) -> String {
    format!("due#{}", shard % SHARDS)
}

/// Partition of the index `due` with the ended sessions of this shard, taken modulo the shards.
pub(super) fn ended_shard(shard: u128) -> String {
    format!("ended#{}", shard % SHARDS)
}

/// Assigns a record to a shard by the random part of its id, so all its writes use the same one.
pub(super) const fn shard_of(id: Ulid) -> u128 {
    id.random()
}

/// A time as part of a key. Sorts by time; a key with a suffix sorts after the same key without it.
pub(super) fn timestamp(at: Timestamp) -> String {
    at.to_string()
}

/// The value of a text attribute; none if it is missing or of another type.
pub(crate) fn text<'a>(item: &'a Attributes, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// The value of a number attribute; none if it is missing or of another type.
pub(crate) fn number<T: std::str::FromStr>(item: &Attributes, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// A number as the value of an attribute.
pub(crate) fn number_value(value: impl Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
