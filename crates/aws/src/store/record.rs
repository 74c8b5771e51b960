//! Encodes records as items and decodes them.
//!
//! A record is JSON text in one attribute: readable in the console, and in the same format as in the
//! local store. A DynamoDB map would not be smaller and would need a second mapping of every field.
//!
//! A write is billed by the size of the whole item, and a job is written at least three times. So large
//! values that never change (a command, a session's variables, a webhook's body) are written once, in
//! the record's part, an item of its own.

use adapters::clock::SystemClock;
use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use domain::{job::Job, session::Session, warm::Warm};
use domain::{
    ports::{Clock, Version, Versioned},
    webhook::Delivery,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    error::StoreError,
    keys::{self, Attributes, PART, RECORD, STDIN, TTL, VERSION},
};

/// Constant values up to this size stay in the record, so that a record with a short command is smaller
/// than 1 KB. Bytes of JSON. The limit may be raised, but never lowered: a write of an existing record
/// without a part would then lack the constant values, and its condition refuses it.
const MAX_INLINE: usize = 256;

/// A record in the table.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// The values that only the first write sets, as JSON pointers (RFC 6901).
    const CONSTANT: &'static [&'static str];
}

impl Record for Session {
    const CONSTANT: &'static [&'static str] = &["/head/spec/env", "/head/spec/metadata"];
}

impl Record for Job {
    const CONSTANT: &'static [&'static str] = &["/head/work/command"];
}

impl Record for Delivery {
    const CONSTANT: &'static [&'static str] = &["/payload/body"];
}

impl Record for Warm {
    const CONSTANT: &'static [&'static str] = &[];
}

/// A job's standard input, stored as bytes: as JSON numbers it would take four times its size.
const STDIN_POINTER: &str = "/head/work/command/stdin";

/// A record, ready to be written.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) record: AttributeValue,
    /// The attributes of the part.
    pub(super) part: Option<Attributes>,
}

pub(super) fn encode<T: Record>(record: &T) -> Result<Encoded, StoreError> {
    let failed = |_| StoreError::Encode;
    let mut whole = serde_json::to_value(record).map_err(failed)?;
    let stdin = take_stdin(&mut whole);
    let constant = T::CONSTANT.iter().filter_map(|at| whole.pointer(at));
    let size: usize = constant.map(|value| value.to_string().len()).sum();
    let part = if size > MAX_INLINE || stdin.is_some() {
        let taken = T::CONSTANT
            .iter()
            .filter_map(|at| Some(((*at).to_owned(), whole.pointer_mut(at)?.take())));
        let text = Value::Object(taken.collect::<Map<_, _>>()).to_string();
        let mut part = Attributes::from([(RECORD.to_owned(), AttributeValue::S(text))]);
        part.extend(stdin.map(|bytes| (STDIN.to_owned(), AttributeValue::B(Blob::new(bytes)))));
        Some(part)
    } else {
        None
    };
    Ok(Encoded { record: AttributeValue::S(whole.to_string()), part })
}

/// Encodes a record that is written once and has no part.
pub(super) fn plain(record: &impl Serialize) -> Result<AttributeValue, StoreError> {
    let text = serde_json::to_string(record).map_err(|_| StoreError::Encode)?;
    Ok(AttributeValue::S(text))
}

fn take_stdin(whole: &mut Value) -> Option<Vec<u8>> {
    let stdin = whole.pointer_mut(STDIN_POINTER)?;
    let bytes: Vec<u8> = serde_json::from_value(stdin.take()).unwrap_or_default();
    *stdin = Value::Array(Vec::new());
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

/// Whether the record has a part.
pub(super) fn has_part(item: &Attributes) -> bool {
    item.contains_key(PART)
}

/// Decodes a record from its item and part. None if the item holds no record, or has expired: DynamoDB deletes expired
/// items with a delay of up to days.
pub(super) fn decode<T: Record>(
    item: &Attributes,
    part: Option<&Attributes>,
) -> Result<Option<Versioned<T>>, StoreError> {
    let Some(text) = keys::text(item, RECORD).filter(|_| !is_expired(item)) else {
        return Ok(None);
    };
    let failed = |_| StoreError::Decode;
    let version = keys::number(item, VERSION).ok_or(StoreError::Decode)?;
    let value = if has_part(item) {
        let mut whole: Value = serde_json::from_str(text).map_err(failed)?;
        restore_constants(&mut whole, part.ok_or(StoreError::MissingPart)?)?;
        serde_json::from_value(whole).map_err(failed)?
    } else {
        serde_json::from_str(text).map_err(failed)?
    };
    Ok(Some(Versioned { value, version: Version(version) }))
}

/// Whether DynamoDB may remove the item at any time.
pub(super) fn is_expired(item: &Attributes) -> bool {
    keys::number(item, TTL).is_some_and(|at: i64| at <= SystemClock.now().millis() / 1000)
}

/// Decodes a record that has no part.
pub(super) fn decode_plain<T: DeserializeOwned>(item: &Attributes) -> Result<T, StoreError> {
    let text = keys::text(item, RECORD).ok_or(StoreError::Decode)?;
    serde_json::from_str(text).map_err(|_| StoreError::Decode)
}

fn restore_constants(whole: &mut Value, part: &Attributes) -> Result<(), StoreError> {
    let taken: Map<String, Value> = decode_plain(part)?;
    for (at, value) in taken {
        *whole.pointer_mut(&at).ok_or(StoreError::Decode)? = value;
    }
    if let Some(bytes) = part.get(STDIN).and_then(|stdin| stdin.as_b().ok()) {
        let stdin = whole.pointer_mut(STDIN_POINTER).ok_or(StoreError::Decode)?;
        *stdin = bytes.as_ref().iter().copied().map(Value::from).collect();
    }
    Ok(())
}
