//! Parses text into a [`Path`].

use super::{Path, Segment};

pub(super) fn path(text: &str) -> Result<Path, String> {
    let error = |problem: &str| format!("'{text}' is not a supported JSONPath: {problem}");
    let (in_context, mut rest) = match text.strip_prefix("$$") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('$').ok_or_else(|| error("it does not start with $"))?),
    };
    let mut segments = Vec::new();
    while !rest.is_empty() {
        rest = if let Some(after) = rest.strip_prefix("..") {
            segments.push(Segment::Descendants);
            if after.starts_with('[') {
                after
            } else {
                dotted(after, &mut segments).map_err(error)?
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            dotted(after, &mut segments).map_err(error)?
        } else if let Some(after) = rest.strip_prefix('[') {
            let end = closing(after).ok_or_else(|| error("a bracket is not closed"))?;
            segments.push(bracketed(after[..end].trim()).map_err(error)?);
            &after[end + 1..]
        } else {
            return Err(error("a name follows without a dot"));
        };
    }
    Ok(Path { text: text.to_owned(), in_context, segments })
}

/// Parses the name or `*` after a dot and returns the rest of the text.
fn dotted<'t>(text: &'t str, segments: &mut Vec<Segment>) -> Result<&'t str, &'static str> {
    if let Some(after) = text.strip_prefix('*') {
        segments.push(Segment::Wildcard);
        return Ok(after);
    }
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let name = &text[..end];
    if name.is_empty() {
        return Err("a name is missing after a dot");
    }
    if name.contains(|c: char| "()?*,:@'\"]".contains(c) || c.is_whitespace()) {
        return Err("a name contains a character that must be quoted, as in ['a b']");
    }
    segments.push(Segment::Name(name.to_owned()));
    Ok(&text[end..])
}

/// The position of the closing bracket outside quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ']') => return Some(at),
            _ => {}
        }
    }
    None
}

fn bracketed(text: &str) -> Result<Segment, &'static str> {
    if text == "*" {
        return Ok(Segment::Wildcard);
    }
    if text.starts_with(['?', '(']) {
        return Err("filters and scripts are not supported");
    }
    if text.starts_with(['\'', '"']) {
        let mut names = names(text)?;
        return Ok(if names.len() == 1 {
            Segment::Name(names.remove(0))
        } else {
            Segment::Names(names)
        });
    }
    if text.contains(':') {
        return slice(text);
    }
    let indices: Result<Vec<i64>, _> = text.split(',').map(|i| i.trim().parse()).collect();
    match indices.map_err(|_| "an index is not a number")?.as_slice() {
        [index] => Ok(Segment::Index(*index)),
        many => Ok(Segment::Indices(many.to_vec())),
    }
}

fn slice(text: &str) -> Result<Segment, &'static str> {
    let parts: Vec<&str> = text.split(':').map(str::trim).collect();
    let edge = |at: usize| match parts.get(at) {
        None | Some(&"") => Ok(None),
        Some(number) => number.parse().map(Some).map_err(|_| "a slice bound is not a number"),
    };
    let step = edge(2)?.unwrap_or(1);
    match usize::try_from(step) {
        Ok(step) if step > 0 && parts.len() <= 3 => {
            Ok(Segment::Slice { start: edge(0)?, end: edge(1)?, step })
        }
        _ => Err("a slice has the form [start:end:step] with a positive step"),
    }
}

/// Parses the quoted names of `['a', 'b']`.
fn names(text: &str) -> Result<Vec<String>, &'static str> {
    let mut names = Vec::new();
    let mut chars = text.chars();
    loop {
        let quote = match chars.next() {
            Some(c) if c.is_whitespace() => continue,
            Some(c @ ('\'' | '"')) => c,
            _ => return Err("a list of names contains an unquoted name"),
        };
        let mut name = String::new();
        loop {
            match chars.next() {
                Some('\\') => match chars.next() {
                    // AWS keeps a backslash that does not escape the delimiter.
                    Some(c) if c == quote => name.push(c),
                    other => name.extend(std::iter::once('\\').chain(other)),
                },
                Some(c) if c == quote => break,
                Some(c) => name.push(c),
                None => return Err("a quote is not closed"),
            }
        }
        names.push(name);
        match chars.by_ref().find(|c| !c.is_whitespace()) {
            None => return Ok(names),
            Some(',') => {}
            Some(_) => return Err("names in brackets must be separated by commas"),
        }
    }
}
