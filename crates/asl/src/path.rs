//! JSONPath as the specification uses it: a Path selects nodes, a Reference Path identifies exactly
//! one node. AWS evaluates paths with the Jayway library; error texts follow it.

mod parse;

use crate::failure::RESULT_PATH_MATCH_FAILURE;
use crate::limits::{Children, LimitError, MAX_BYTES, MAX_DEPTH, measure};
use crate::scope::Scope;
use crate::state_error::StateError;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::Write;

/// The maximum number of nodes that a path may select at any of its segments: twice as many as there
/// can be in data of the maximum size, where each node has at least one byte and a comma.
const MAX_NODES: usize = MAX_BYTES;

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
        if path.is_definite() { Ok(path) } else { Err(format!("'{text}' is not a reference path")) }
    }

    /// Whether this is `$`.
    pub(crate) fn is_root(&self) -> bool {
        self.segments.is_empty() && !self.in_context
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_in_context(&self) -> bool {
        self.in_context
    }

    /// Whether the path selects at most one node.
    pub(crate) fn is_definite(&self) -> bool {
        self.segments.iter().all(Segment::is_definite)
    }

    /// The selected value; `None` if the path selects nothing. A path with a wildcard, slice, list
    /// or `..` returns an array of all matches.
    ///
    /// # Errors
    /// The array exceeds a limit.
    pub(crate) fn select<'v>(
        &self,
        scope: &Scope<'v>,
    ) -> Result<Option<Cow<'v, Value>>, LimitError> {
        let definite = self.segments.iter().take_while(|s| s.is_definite()).count();
        let (definite, rest) = self.segments.split_at(definite);
        let root = scope.root(self.in_context);
        let Some(node) = definite.iter().try_fold(root, step_into) else { return Ok(None) };
        if rest.is_empty() {
            return Ok(Some(Cow::Borrowed(node)));
        }
        let mut nodes = vec![node];
        for segment in rest {
            nodes = fan_out(&nodes, segment)?;
        }
        let mut bytes = 1 + nodes.len();
        for node in &nodes {
            bytes += measure(node)?;
            if bytes > MAX_BYTES {
                return Err(LimitError::Bytes);
            }
        }
        scope.create(bytes)?;
        Ok(Some(Cow::Owned(Value::Array(nodes.into_iter().cloned().collect()))))
    }

    /// Like [`select`](Self::select), for the paths of fields such as `InputPath`.
    ///
    /// # Errors
    /// The path selects nothing, or the selection exceeds a limit.
    pub(crate) fn require<'v>(&self, scope: &Scope<'v>) -> Result<Cow<'v, Value>, StateError> {
        let selected = self.select(scope)?;
        selected.ok_or_else(|| {
            let problem = self.problem(scope.root(self.in_context));
            StateError::runtime(format!("Invalid path '{}' : {problem}", self.text))
        })
    }

    /// Why the path selects nothing below `root`.
    fn problem(&self, root: &Value) -> String {
        let mut node = root;
        for (at, segment) in self.segments.iter().enumerate() {
            match step_into(node, segment) {
                Some(next) => node = next,
                None if at + 1 < self.segments.len() => {
                    return format!("Missing property in path {}", self.canonical(at + 1));
                }
                None => break,
            }
        }
        format!("No results for path: {}", self.canonical(self.segments.len()))
    }

    /// The first segments in bracket notation: `$['a'][0]`.
    fn canonical(&self, segments: usize) -> String {
        let mut text = "$".to_owned();
        for segment in &self.segments[..segments] {
            let written = match segment {
                Segment::Name(name) => write!(text, "['{name}']"),
                Segment::Index(index) => write!(text, "[{index}]"),
                Segment::Names(names) => write!(text, "['{}']", names.join("','")),
                Segment::Indices(_) | Segment::Slice { .. } => write!(text, "[...]"),
                Segment::Wildcard => write!(text, "[*]"),
                Segment::Descendants => write!(text, ".."),
            };
            written.expect("writing to a string does not fail");
        }
        text
    }

    /// Inserts `value` at this reference path and creates missing objects on the way.
    ///
    /// # Errors
    /// The path does not fit `into`, or is longer than the depth limit.
    pub(crate) fn insert(&self, into: &mut Value, value: Value) -> Result<(), StateError> {
        if self.segments.len() > MAX_DEPTH {
            return Err(LimitError::Depth.into());
        }
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
                let cause = format!("Unable to apply ReferencePath {} to the input", self.text);
                StateError::new(RESULT_PATH_MATCH_FAILURE, cause)
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

/// Applies a segment to each node.
///
/// # Errors
/// The segment selects more than [`MAX_NODES`] nodes.
fn fan_out<'v>(nodes: &[&'v Value], segment: &Segment) -> Result<Vec<&'v Value>, LimitError> {
    let mut selected = Vec::new();
    for node in nodes {
        let mut add = |node: &'v Value| {
            selected.push(node);
            if selected.len() > MAX_NODES { Err(LimitError::Bytes) } else { Ok(()) }
        };
        match segment {
            Segment::Name(_) | Segment::Index(_) => {
                step_into(node, segment).into_iter().try_for_each(&mut add)?;
            }
            Segment::Names(names) => {
                let object = node.as_object();
                names.iter().filter_map(|name| object?.get(name)).try_for_each(&mut add)?;
            }
            Segment::Indices(indices) => {
                let items = node.as_array().map_or(&[][..], Vec::as_slice);
                let found = indices.iter().filter_map(|i| items.get(position(*i, items.len())?));
                found.into_iter().try_for_each(&mut add)?;
            }
            Segment::Slice { start, end, step } => {
                let items = node.as_array().map_or(&[][..], Vec::as_slice);
                slice(items, *start, *end).iter().step_by(*step).try_for_each(&mut add)?;
            }
            Segment::Wildcard => Children::of(node).try_for_each(&mut add)?,
            Segment::Descendants => descendants(node, &mut add)?,
        }
    }
    Ok(selected)
}

fn slice(items: &[Value], start: Option<i64>, end: Option<i64>) -> &[Value] {
    let clamp = |edge: i64| {
        let len = items.len() as i64;
        (if edge < 0 { edge.saturating_add(len) } else { edge }).clamp(0, len) as usize
    };
    let (start, end) = (start.map_or(0, clamp), end.map_or(items.len(), clamp));
    items.get(start..end).unwrap_or_default()
}

/// Visits a node and all its descendants, each before its children.
fn descendants<'v>(
    node: &'v Value,
    visit: &mut impl FnMut(&'v Value) -> Result<(), LimitError>,
) -> Result<(), LimitError> {
    visit(node)?;
    let mut open = vec![Children::of(node)];
    while let Some(children) = open.last_mut() {
        match children.next() {
            Some(child) => {
                visit(child)?;
                open.push(Children::of(child));
            }
            None => {
                open.pop();
            }
        }
    }
    Ok(())
}

/// Converts an index that may count from the end.
fn position(index: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    usize::try_from(if index < 0 { index.checked_add(len)? } else { index }).ok()
}

#[cfg(test)]
mod tests;
