//! The intrinsic functions (AWS Step Functions Developer Guide, "Intrinsic functions for JSONPath
//! states").

use super::java;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::Digest;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

/// The maximum length in characters of a text to encode, decode or hash.
const MAX_CHARS: usize = 10_000;
/// The maximum number of items that `States.ArrayRange` returns.
const MAX_RANGE: i128 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Array,
    ArrayContains,
    ArrayGetItem,
    ArrayLength,
    ArrayPartition,
    ArrayRange,
    ArrayUnique,
    Base64Decode,
    Base64Encode,
    Format,
    Hash,
    JsonMerge,
    JsonToString,
    MathAdd,
    StringSplit,
    StringToJson,
}

/// Name, function, minimum and maximum number of arguments.
const TABLE: &[(&str, Function, usize, usize)] = &[
    ("States.Array", Function::Array, 0, usize::MAX),
    ("States.ArrayContains", Function::ArrayContains, 2, 2),
    ("States.ArrayGetItem", Function::ArrayGetItem, 2, 2),
    ("States.ArrayLength", Function::ArrayLength, 1, 1),
    ("States.ArrayPartition", Function::ArrayPartition, 2, 2),
    ("States.ArrayRange", Function::ArrayRange, 3, 3),
    ("States.ArrayUnique", Function::ArrayUnique, 1, 1),
    ("States.Base64Decode", Function::Base64Decode, 1, 1),
    ("States.Base64Encode", Function::Base64Encode, 1, 1),
    ("States.Format", Function::Format, 1, usize::MAX),
    ("States.Hash", Function::Hash, 2, 2),
    ("States.JsonMerge", Function::JsonMerge, 3, 3),
    ("States.JsonToString", Function::JsonToString, 1, 1),
    ("States.MathAdd", Function::MathAdd, 2, 2),
    ("States.StringSplit", Function::StringSplit, 2, 2),
    ("States.StringToJson", Function::StringToJson, 1, 1),
];

impl Function {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        if matches!(name, "States.MathRandom" | "States.UUID") {
            return Err(format!("'{name}' is non-deterministic"));
        }
        let row = TABLE.iter().find(|row| row.0 == name);
        row.map(|row| row.1).ok_or_else(|| format!("unknown function '{name}'"))
    }

    pub(super) fn check_arity(self, given: usize) -> Result<(), String> {
        let row = TABLE.iter().find(|row| row.1 == self);
        let (name, _, min, max) = *row.expect("the table lists every function");
        if (min..=max).contains(&given) {
            Ok(())
        } else {
            Err(format!("'{name}' does not take {given} arguments"))
        }
    }

    /// Whether the function copies an unlimited number of arguments into its result.
    pub(super) fn copies_arguments(self) -> bool {
        matches!(self, Self::Array | Self::Format)
    }

    /// Calls the function. The number of arguments was checked when the call was parsed.
    pub(super) fn apply(self, args: &[Cow<'_, Value>]) -> Result<Value, String> {
        match self {
            Self::Array => Ok(args.iter().map(|arg| arg.as_ref().clone()).collect()),
            Self::ArrayContains => Ok(array(&args[0])?.contains(args[1].as_ref()).into()),
            Self::ArrayGetItem => array_get_item(array(&args[0])?, &args[1]),
            Self::ArrayLength => Ok(array(&args[0])?.len().into()),
            Self::ArrayPartition => array_partition(array(&args[0])?, &args[1]),
            Self::ArrayRange => array_range(args),
            Self::ArrayUnique => Ok(array_unique(array(&args[0])?)),
            Self::Base64Decode => base64_decode(short_text(&args[0])?),
            Self::Base64Encode => Ok(STANDARD.encode(short_text(&args[0])?).into()),
            Self::Format => format(text(&args[0])?, &args[1..]),
            Self::Hash => hash(&args[0], text(&args[1])?),
            Self::JsonMerge => json_merge(args),
            Self::JsonToString => Ok(args[0].to_string().into()),
            Self::MathAdd => math_add(&args[0], &args[1]),
            Self::StringSplit => Ok(string_split(text(&args[0])?, text(&args[1])?)),
            Self::StringToJson => parse_json(text(&args[0])?),
        }
    }
}

fn array(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| "the first argument is not an array".to_owned())
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "an argument is not a string".to_owned())
}

fn short_text(value: &Value) -> Result<&str, String> {
    let text = text(value)?;
    if text.chars().count() > MAX_CHARS {
        return Err(format!("the text is longer than {MAX_CHARS} characters"));
    }
    Ok(text)
}

/// Parses JSON text as AWS does: blank text is `null`, and `-0` is `0`.
pub(super) fn parse_json(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    let mut value = serde_json::from_str(text).map_err(|_| "the text is not JSON".to_owned())?;
    make_zeros_positive(&mut value);
    Ok(value)
}

/// Replaces negative zeros. The parser limits the depth of the value, and with it the recursion.
fn make_zeros_positive(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if number.as_f64().is_some_and(|zero| zero == 0.0 && zero.is_sign_negative()) {
                *value = 0.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_zeros_positive),
        Value::Object(map) => map.values_mut().for_each(make_zeros_positive),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The value as an integer. A fraction is rounded to the nearest integer, and a half up, as AWS does
/// (Java's `Math.round`).
fn integer(value: &Value) -> Result<i64, String> {
    let number = value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        let rounded = number.floor() + if number - number.floor() >= 0.5 { 1.0 } else { 0.0 };
        (rounded.abs() < 9.2e18).then_some(rounded as i64)
    });
    number.ok_or_else(|| "an argument is not an integer".to_owned())
}

fn array_get_item(items: &[Value], index: &Value) -> Result<Value, String> {
    let index = index.as_u64().ok_or("the index is not a non-negative integer")?;
    let item = usize::try_from(index).ok().and_then(|index| items.get(index));
    item.cloned().ok_or_else(|| "the index is out of bounds".to_owned())
}

fn array_partition(items: &[Value], size: &Value) -> Result<Value, String> {
    match usize::try_from(integer(size)?) {
        Ok(size) if size > 0 => Ok(items.chunks(size).map(<[Value]>::to_vec).collect()),
        _ => Err("the chunk size is not positive".to_owned()),
    }
}

fn array_range(args: &[Cow<'_, Value>]) -> Result<Value, String> {
    let (first, last, step) = (integer(&args[0])?, integer(&args[1])?, integer(&args[2])?);
    if step == 0 {
        return Err("the increment is zero".to_owned());
    }
    let (first, last, step) = (i128::from(first), i128::from(last), i128::from(step));
    let count = ((last - first) / step + 1).max(0);
    let diverges = (last - first).signum() * step.signum() < 0;
    if diverges {
        return Ok(json!([]));
    }
    if count > MAX_RANGE {
        return Err(format!("the range has more than {MAX_RANGE} items"));
    }
    let item = |n: i128| i64::try_from(first + n * step).map(Value::from);
    (0..count).map(item).collect::<Result<_, _>>().map_err(|_| "a number is too large".to_owned())
}

fn array_unique(items: &[Value]) -> Value {
    // Equal values have equal texts, because the keys of objects are sorted.
    let mut seen = HashSet::new();
    items.iter().filter(|item| seen.insert(item.to_string())).cloned().collect()
}

fn base64_decode(text: &str) -> Result<Value, String> {
    let bytes = STANDARD.decode(text).map_err(|_| "the text is not Base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "the decoded bytes are not UTF-8")?;
    Ok(text.into())
}

fn hash(data: &Value, algorithm: &str) -> Result<Value, String> {
    let data = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
    if data.chars().count() > MAX_CHARS {
        return Err(format!("the data is longer than {MAX_CHARS} characters"));
    }
    let digest = match algorithm {
        "MD5" => md5::Md5::digest(&data).to_vec(),
        "SHA-1" => sha1::Sha1::digest(&data).to_vec(),
        "SHA-256" => sha2::Sha256::digest(&data).to_vec(),
        "SHA-384" => sha2::Sha384::digest(&data).to_vec(),
        "SHA-512" => sha2::Sha512::digest(&data).to_vec(),
        _ => return Err(format!("there is no hash algorithm '{algorithm}'")),
    };
    let mut hex = String::with_capacity(digest.len() * 2);
    for byte in digest {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
    }
    Ok(hex.into())
}

fn json_merge(args: &[Cow<'_, Value>]) -> Result<Value, String> {
    let args: Vec<&Value> = args.iter().map(Cow::as_ref).collect();
    match args.as_slice() {
        [Value::Object(first), Value::Object(second), Value::Bool(false)] => {
            let mut merged = first.clone();
            merged.extend(second.clone());
            Ok(Value::Object(merged))
        }
        [_, _, Value::Bool(true)] => Err("only shallow merging (false) is supported".to_owned()),
        _ => Err("the arguments must be two objects and false".to_owned()),
    }
}

fn math_add(left: &Value, right: &Value) -> Result<Value, String> {
    let sum = integer(left)?.checked_add(integer(right)?);
    sum.map(Value::from).ok_or_else(|| "the sum is too large".to_owned())
}

/// Splits at each character of the splitter and drops empty parts.
fn string_split(text: &str, splitter: &str) -> Value {
    let separators: HashSet<char> = splitter.chars().collect();
    let parts = text.split(|c| separators.contains(&c)).filter(|part| !part.is_empty());
    parts.map(Value::from).collect()
}

/// The pieces of a format template; `None` represents `{}`.
fn pieces(template: &str) -> Result<Vec<Option<char>>, String> {
    let mut pieces = Vec::new();
    let mut chars = template.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '\\' => Some(chars.next().ok_or("a backslash escapes nothing")?),
            '{' if chars.next() == Some('}') => None,
            '{' | '}' => return Err("a brace is neither {} nor escaped".to_owned()),
            _ => Some(c),
        });
    }
    Ok(pieces)
}

/// The number of `{}` in a template.
pub(super) fn placeholders(template: &str) -> Result<usize, String> {
    Ok(pieces(template)?.iter().filter(|piece| piece.is_none()).count())
}

fn format(template: &str, values: &[Cow<'_, Value>]) -> Result<Value, String> {
    let pieces = pieces(template)?;
    let mut values = values.iter();
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Some(c) => text.push(c),
            None => {
                let value = values.next().ok_or("there are more {} than arguments")?;
                java::write(value, &mut text);
            }
        }
    }
    if values.next().is_some() {
        return Err("there are more arguments than {}".to_owned());
    }
    Ok(text.into())
}
