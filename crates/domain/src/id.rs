//! Ids: a prefix that names the kind, and a ULID, which sorts by time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

use crate::Timestamp;

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}<ulid>")]
pub struct ParseIdError {
    prefix: &'static str,
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Ulid);

        impl $name {
            /// The prefix of all ids of this kind.
            pub const PREFIX: &'static str = $prefix;

            /// The id with this ULID.
            pub const fn from_ulid(ulid: Ulid) -> Self {
                Self(ulid)
            }

            /// The ULID of the id.
            pub const fn ulid(self) -> Ulid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", Self::PREFIX, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = ParseIdError { prefix: $prefix };
                let ulid = text.strip_prefix($prefix).ok_or_else(|| error.clone())?;
                let parsed = Ulid::from_string(ulid).map_err(|_| error.clone())?;
                // An id has one spelling: lower case and overflowing forms are rejected.
                if parsed.to_string() == ulid { Ok(Self(parsed)) } else { Err(error) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let pattern = concat!("^", $prefix, "[0-7][0-9A-HJKMNP-TV-Z]{25}$");
                schemars::json_schema!({"type": "string", "pattern": pattern})
            }
        }
    };
}

ulid_id!(
    /// A session: one disposable shell, from its start to its end.
    SessionId, "sh_"
);
ulid_id!(
    /// A job: one accepted start, execute or stop request.
    JobId, "job_"
);
ulid_id!(
    /// An entry of a session's timeline, or another event of a user.
    EventId, "evt_"
);
ulid_id!(
    /// A webhook delivery; the same in all its attempts.
    DeliveryId, "msg_"
);
ulid_id!(
    /// An upload: the object with the bytes of a file or of an archive.
    UploadId, "up_"
);
ulid_id!(
    /// A warm task, started ahead of any session. The task's `started_by` is this id.
    WarmId, "pool-"
);

impl EventId {
    /// The id of entry number `seq` of a session, computed from the entry, so that a retried write adds
    /// no second one.
    pub fn of(session: SessionId, seq: u32, at: Timestamp) -> Self {
        let spread = session.ulid().random() ^ (u128::from(seq) << 40);
        Self(Ulid::from_parts(at.millis().unsigned_abs(), spread))
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a name from another system.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The name, unchanged.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A user: the subject of the access token.
    UserId
);
text_id!(
    /// A task, as its compute provider names it.
    TaskId
);

#[cfg(test)]
mod tests;
