//! Where things are: the names of attributes and indexes, and the keys of items.

use std::{collections::HashMap, fmt::Display};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    JobId, SessionId, Timestamp, UserId, WarmId, command::Concurrency, ports::Stream,
    size::Network, warm::Kind,
};
use ulid::Ulid;

/// An item's attributes by name.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";
/// The record as JSON.
pub(super) const RECORD: &str = "record";
/// The large values that a record holds and never changes, beside it.
pub(super) const PART: &str = "part";
/// What a command reads, in the part of its job.
pub(super) const STDIN: &str = "stdin";
pub(crate) const VERSION: &str = "version";
/// Which write made the item what it is.
pub(super) const WRITTEN_BY: &str = "by";
/// Whether a session takes jobs.
pub(super) const OPEN: &str = "open";
/// A session's status, which the index `list` has too.
pub(super) const STATUS: &str = "status";
/// Which job has a session's serial turn: a set of at most one.
pub(super) const TURN: &str = "turn";
/// How many sessions of a user hold a slot.
pub(super) const ACTIVE: &str = "active";
/// When an answer's key may be used afresh. Milliseconds since 1970.
pub(super) const EXPIRES: &str = "expires";
/// A piece of output.
pub(super) const BYTES: &str = "bytes";
/// When the table may drop the item by itself. Seconds since 1970.
pub(super) const TTL: &str = "ttl";

/// The index of lists that users ask for, by owner.
pub(super) const LIST: &str = "list";
pub(super) const LIST_KEY: &str = "listKey";
/// The index of what is due, and of ended sessions.
pub(super) const DUE: &str = "due";
pub(super) const DUE_KEY: &str = "dueKey";

/// How many partitions the index of what is due has. Each takes 1,000 changes a second.
pub(super) const SHARDS: u128 = 4;

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

    /// The record that has this id.
    pub(crate) fn record(id: impl Display) -> Self {
        Self::new(id.to_string(), RECORD)
    }

    /// What that record never changes, if it is large. Sorts right behind the record.
    pub(super) fn part(id: impl Display) -> Self {
        Self::new(id.to_string(), "record#part")
    }

    pub(super) fn turn(session: SessionId) -> Self {
        Self::new(session.to_string(), "turn")
    }

    pub(super) fn entry(session: SessionId, seq: u32) -> Self {
        Self::new(session.to_string(), format!("{ENTRY}{seq:010}"))
    }

    /// Says that the session has this command to end.
    pub(super) fn open(session: SessionId, concurrency: Concurrency, job: JobId) -> Self {
        Self::new(session.to_string(), format!("{}{job}", open(concurrency)))
    }

    pub(super) fn piece(job: JobId, stream: Stream, offset: u64) -> Self {
        Self::new(job.to_string(), format!("{}{offset:020}", output(stream)))
    }

    pub(super) fn slots(user: &UserId) -> Self {
        Self::new(of_user(user), "slots")
    }

    /// Says that the user has this session in line.
    pub(super) fn waiting(user: &UserId, session: SessionId) -> Self {
        Self::new(of_user(user), format!("{WAITING}{session}"))
    }

    /// The user is all of the one key and the caller's key all of the other, so no two meet.
    pub(super) fn answer(user: &UserId, key: &str) -> Self {
        Self::new(format!("answers#{user}"), key)
    }

    /// Says that the pool of this kind has this warm task.
    pub(super) fn pooled(kind: &Kind, warm: WarmId) -> Self {
        Self::new(pool(kind), warm.to_string())
    }

    pub(crate) fn attributes(&self) -> Attributes {
        HashMap::from([
            (PK.to_owned(), AttributeValue::S(self.pk.clone())),
            (SK.to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }

    /// The key of an item that was read.
    pub(super) fn of(item: &Attributes) -> Option<Self> {
        Some(Self::new(text(item, PK)?, text(item, SK)?))
    }
}

/// What the keys of a session's timeline begin with.
pub(super) const ENTRY: &str = "entry#";
/// What the keys of a user's waiting sessions begin with.
pub(super) const WAITING: &str = "waiting#";

/// What the keys of a session's open commands begin with.
pub(super) const fn open(concurrency: Concurrency) -> &'static str {
    match concurrency {
        Concurrency::Serial => "open#serial#",
        Concurrency::Parallel => "open#parallel#",
    }
}

/// What the keys of a job's output begin with.
pub(super) const fn output(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "out#stdout#",
        Stream::Stderr => "out#stderr#",
    }
}

pub(super) fn of_user(user: &UserId) -> String {
    format!("user#{user}")
}

/// The list of a user's deliveries.
pub(super) fn hooks_of(user: &UserId) -> String {
    format!("hooks#{user}")
}

/// A pool's partition. The image comes last: it may hold any character.
pub(super) fn pool(kind: &Kind) -> String {
    let network = match kind.network {
        Network::None => "none",
        Network::Egress => "egress",
    };
    format!("pool#{}#{}#{network}#{}", kind.size.cpu(), kind.size.memory_mib(), kind.image)
}

/// The index partition of what is due, for the record with this ULID.
pub(super) fn due_shard(shard: u128) -> String {
    format!("due#{}", shard % SHARDS)
}

/// The index partition of sessions that ended, for the session with this ULID.
pub(super) fn ended_shard(shard: u128) -> String {
    format!("ended#{}", shard % SHARDS)
}

/// What spreads records over the shards: chance, the same for all writes of one record.
pub(super) const fn spread(id: Ulid) -> u128 {
    id.random()
}

/// A point in time as part of a key. Sorts by time, and comes before itself with a suffix.
pub(super) fn instant(at: Timestamp) -> String {
    at.to_string()
}

/// An attribute that holds text.
pub(super) fn text<'a>(item: &'a Attributes, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// An attribute that holds a number.
pub(crate) fn number<T: std::str::FromStr>(item: &Attributes, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}
