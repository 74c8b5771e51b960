//! JSONPath as the specification uses it: a Path selects nodes, a Reference Path identifies exactly
//! one node.

mod parse;

use crate::failure::{Failure, RESULT_PATH_MATCH_FAILURE};
use serde_json::{Map, Value};

/// A parsed Path. It starts in the input (`$`) or in the context object (`$$`).
#[derive(Clone, Debug)]
pub(crate) struct Path {
    text: String,
    in_context: bool,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq)]
enum Segment {
    Name(String),
    Index(i64),
    Names(Vec<String>),
    Indices(Vec<i64>),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: usize,
    },
    Wildcard,
    /// `..`: the node itself and all its descendants; the next segment applies to each.
    Descendants,
}

impl Segment {
    fn is_definite(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Index(_))
    }
}

impl Path {
    /// `$`: the whole input.
    pub(crate) fn root() -> Self {
        Self { text: "$".to_owned(), in_context: false, segments: Vec::new() }
    }

    /// Parses a Path.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse::path(text)
    }

    /// Parses a Reference Path, which identifies exactly one node: `$.a.b[0]`.
    pub(crate) fn parse_reference(text: &str) -> Result<Self, String> {
        let path = parse::path(text)?;
        if path.segments.iter().all(Segment::is_definite) {
            Ok(path)
        } else {
            Err(format!("'{text}' is not a reference path"))
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_in_context(&self) -> bool {
        self.in_context
    }

    /// The selected value; `None` if the path selects nothing. A path with a wildcard, slice, list
    /// or `..` returns an array of all matches.
    pub(crate) fn select(&self, input: &Value, context: &Value) -> Option<Value> {
        let root = if self.in_context { context } else { input };
        let definite = self.segments.iter().take_while(|s| s.is_definite()).count();
        let mut node = root;
        for segment in &self.segments[..definite] {
            node = step_into(node, segment)?;
        }
        let rest = &self.segments[definite..];
        if rest.is_empty() {
            return Some(node.clone());
        }
        let mut found = vec![node];
        for segment in rest {
            found = found.into_iter().flat_map(|node| fan_out(node, segment)).collect();
        }
        Some(Value::Array(found.into_iter().cloned().collect()))
    }

    /// Like [`select`](Self::select), but fails as AWS does if the path selects nothing. (The
    /// specification demands `States.ParameterPathFailure` in payload templates; AWS reports
    /// `States.Runtime` in all fields.)
    pub(crate) fn require(
        &self,
        field: &str,
        input: &Value,
        context: &Value,
    ) -> Result<Value, Failure> {
        self.select(input, context).ok_or_else(|| {
            let path = &self.text;
            Failure::runtime(format!(
                "the JSONPath '{path}' specified for the field '{field}' could not be found in the input"
            ))
        })
    }

    /// Inserts `value` at this reference path and creates missing objects on the way.
    pub(crate) fn insert(&self, into: &mut Value, value: Value) -> Result<(), Failure> {
        let mut node = into;
        for segment in &self.segments {
            let next = match (segment, node) {
                (Segment::Name(name), Value::Object(map)) => {
                    Some(map.entry(name.as_str()).or_insert(Value::Null))
                }
                (Segment::Name(name), empty @ Value::Null) => {
                    *empty = Value::Object(Map::new());
                    empty.as_object_mut().map(|map| map.entry(name.as_str()).or_insert(Value::Null))
                }
                (Segment::Index(index), Value::Array(items)) => {
                    position(*index, items.len()).and_then(|at| items.get_mut(at))
                }
                _ => None,
            };
            node = next.ok_or_else(|| {
                let cause =
                    format!("the ResultPath '{}' does not fit the state's input", self.text);
                Failure::new(RESULT_PATH_MATCH_FAILURE, cause)
            })?;
        }
        *node = value;
        Ok(())
    }
}

fn step_into<'v>(node: &'v Value, segment: &Segment) -> Option<&'v Value> {
    match segment {
        Segment::Name(name) => node.as_object()?.get(name),
        Segment::Index(index) => {
            let items = node.as_array()?;
            items.get(position(*index, items.len())?)
        }
        Segment::Names(_) | Segment::Indices(_) | Segment::Slice { .. } => None,
        Segment::Wildcard | Segment::Descendants => None,
    }
}

fn fan_out<'v>(node: &'v Value, segment: &Segment) -> Vec<&'v Value> {
    match segment {
        Segment::Name(_) | Segment::Index(_) => step_into(node, segment).into_iter().collect(),
        Segment::Names(names) => {
            names.iter().filter_map(|name| node.as_object()?.get(name)).collect()
        }
        Segment::Indices(indices) => {
            let Some(items) = node.as_array() else { return Vec::new() };
            indices.iter().filter_map(|i| items.get(position(*i, items.len())?)).collect()
        }
        Segment::Slice { start, end, step } => {
            let Some(items) = node.as_array() else { return Vec::new() };
            let clamp = |edge: i64| {
                let len = items.len() as i64;
                (if edge < 0 { edge + len } else { edge }).clamp(0, len) as usize
            };
            let (start, end) = (start.map_or(0, clamp), end.map_or(items.len(), clamp));
            items.get(start..end).unwrap_or_default().iter().step_by(*step).collect()
        }
        Segment::Wildcard => children(node),
        Segment::Descendants => {
            let mut all = vec![node];
            for child in children(node) {
                all.extend(fan_out(child, segment));
            }
            all
        }
    }
}

fn children(node: &Value) -> Vec<&Value> {
    match node {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Converts an index that may count from the end.
fn position(index: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    usize::try_from(if index < 0 { index + len } else { index }).ok()
}

#[cfg(test)]
mod tests;
