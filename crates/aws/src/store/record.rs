//! How a record goes into an item and comes out of it.
//!
//! It is JSON text in one attribute: readable in the console, and of the same form as on one machine.
//! A map of the table's own types would be no smaller, and name every field again in every type.
//!
//! A write costs by the kilobyte of the whole item, and a job is written three times at least, so what
//! is large and never changes (a command, a session's variables, a webhook's body) is put beside the
//! record, once, when that is new.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use domain::{job::Job, session::Session, warm::Warm};
use domain::{
    ports::{Version, Versioned},
    webhook::Delivery,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    fault::Fault,
    keys::{self, Attributes, PART, RECORD, STDIN, VERSION},
};

/// What never changes stays in the record up to this size, so that a record with a short command is
/// below a kilobyte. Bytes of JSON. May be raised, never lowered: a write of an old record would
/// leave out what is not beside it, and is refused.
const INLINE: usize = 256;

/// A record that is kept in the table.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// Where the values are that no write changes after the first, as JSON pointers (RFC 6901).
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

/// Where a job's input is. As JSON numbers it would have four times its size.
const STDIN_AT: &str = "/head/work/command/stdin";

/// A record, ready to be written.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) record: AttributeValue,
    /// What goes beside it.
    pub(super) part: Option<Attributes>,
}

pub(super) fn encode<T: Record>(record: &T) -> Result<Encoded, Fault> {
    let failed = |_| Fault::Record("encoded");
    let mut whole = serde_json::to_value(record).map_err(failed)?;
    let stdin = take_stdin(&mut whole);
    let constant = T::CONSTANT.iter().filter_map(|at| whole.pointer(at));
    let size: usize = constant.map(|value| value.to_string().len()).sum();
    let part = if size > INLINE || stdin.is_some() {
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

/// A record of JSON alone, of the kind that is written once.
pub(super) fn plain(record: &impl Serialize) -> Result<AttributeValue, Fault> {
    let text = serde_json::to_string(record).map_err(|_| Fault::Record("encoded"))?;
    Ok(AttributeValue::S(text))
}

fn take_stdin(whole: &mut Value) -> Option<Vec<u8>> {
    let stdin = whole.pointer_mut(STDIN_AT)?;
    let bytes: Vec<u8> = serde_json::from_value(stdin.take()).unwrap_or_default();
    *stdin = Value::Array(Vec::new());
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

/// Whether the record has a part beside it.
pub(super) fn has_part(item: &Attributes) -> bool {
    item.contains_key(PART)
}

/// The record in an item, with its part if it has one. None if the item holds no record.
pub(super) fn decode<T: Record>(
    item: &Attributes,
    part: Option<&Attributes>,
) -> Result<Option<Versioned<T>>, Fault> {
    let Some(text) = keys::text(item, RECORD) else { return Ok(None) };
    let failed = |_| Fault::Record("decoded");
    let version = keys::number(item, VERSION).ok_or(Fault::Record("decoded"))?;
    let value = if has_part(item) {
        let mut whole: Value = serde_json::from_str(text).map_err(failed)?;
        put_back(&mut whole, part.ok_or(Fault::Record("found whole"))?)?;
        serde_json::from_value(whole).map_err(failed)?
    } else {
        serde_json::from_str(text).map_err(failed)?
    };
    Ok(Some(Versioned { value, version: Version(version) }))
}

/// The record in an item of JSON alone.
pub(super) fn decode_plain<T: DeserializeOwned>(item: &Attributes) -> Result<T, Fault> {
    let text = keys::text(item, RECORD).ok_or(Fault::Record("decoded"))?;
    serde_json::from_str(text).map_err(|_| Fault::Record("decoded"))
}

fn put_back(whole: &mut Value, part: &Attributes) -> Result<(), Fault> {
    let taken: Map<String, Value> = decode_plain(part)?;
    for (at, value) in taken {
        *whole.pointer_mut(&at).ok_or(Fault::Record("decoded"))? = value;
    }
    if let Some(bytes) = part.get(STDIN).and_then(|stdin| stdin.as_b().ok()) {
        let stdin = whole.pointer_mut(STDIN_AT).ok_or(Fault::Record("decoded"))?;
        *stdin = bytes.as_ref().iter().copied().map(Value::from).collect();
    }
    Ok(())
}
