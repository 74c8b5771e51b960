//! Parses JSON, and finds keys that an object has more than once. RFC 8259 leaves open what such an object
//! means, and programs differ: what one of them checks may not be what another one uses.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The most repeated keys that are reported.
const MAX_REPEATED: usize = 21;

/// A JSON text.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The value; of a repeated key, the last one.
    pub(super) value: Value,
    /// JSON pointers of the keys that an object has more than once.
    pub(super) repeated: Vec<String>,
}

/// Parses a whole text.
pub(super) fn parse(text: &[u8]) -> Result<Parsed, serde_json::Error> {
    let mut repeated = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = Reader { path: Path::Root, repeated: &mut repeated }.deserialize(&mut json)?;
    json.end()?;
    Ok(Parsed { value, repeated })
}

/// The way from the whole value to a part of it.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn pointer(self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Key(parent, key) => {
                format!("{}/{}", parent.pointer(), key.replace('~', "~0").replace('/', "~1"))
            }
            Self::Index(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

struct Reader<'a> {
    path: Path<'a>,
    repeated: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let path = Path::Index(&self.path, values.len());
            let reader = Reader { path, repeated: self.repeated };
            let Some(value) = items.next_element_seed(reader)? else { break };
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = Path::Key(&self.path, &key);
            if values.contains_key(&key) && self.repeated.len() < MAX_REPEATED {
                self.repeated.push(path.pointer());
            }
            let value = entries.next_value_seed(Reader { path, repeated: self.repeated })?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_found_at_any_depth() {
        let text = br#"{"a": 1, "b": [{"c/d": 1, "c/d": 2}], "a": {"x~": 1, "x~": 1, "x~": 1}}"#;
        let parsed = parse(text).unwrap();
        assert_eq!(parsed.repeated, ["/b/0/c~1d", "/a", "/a/x~0", "/a/x~0"]);
        assert_eq!(parse(br#"{"a": {"b": 1}, "b": 1}"#).unwrap().repeated, [""; 0]);
    }

    #[test]
    fn values_are_those_of_serde_json() {
        for text in [
            "null",
            "true",
            "-0",
            "-1",
            "18446744073709551615",
            "1.5",
            "1e300",
            "\"a\\u0000b\"",
            "[]",
            "{}",
            r#"{"a":[1,{"b":null}],"c":"d"}"#,
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse(text.as_bytes()).unwrap().value, expected, "{text}");
        }
        let deep = "[".repeat(200_000);
        for text in ["", "{", "1 2", "[1,]", "NaN", "1e400", "\"\\ud800\"", "\u{feff}{}", &deep] {
            let expected = serde_json::from_str::<Value>(text).unwrap_err().to_string();
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), expected);
        }
    }
}
