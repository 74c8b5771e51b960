//! Holds an answer to openapi.json: the status is documented and the body has the documented shape.

use std::sync::LazyLock;

use serde_json::Value;

use super::Answer;

pub(super) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../openapi.json")).expect("JSON"));

/// Paths and methods that nobody documents have the problem's shape only.
#[track_caller]
pub(super) fn check(method: &str, path: &str, answer: &Answer) {
    let problem = || resolve("#/components/schemas/Problem");
    let schema = match operation(method, path) {
        Some(operation) => {
            let status = answer.status.as_str();
            let response = &operation["responses"][status];
            assert!(!response.is_null(), "{method} {path}: {status} is not documented");
            let content = &deref(response)["content"];
            match content.as_object().and_then(|content| content.iter().next()) {
                Some((kind, media)) => {
                    let given = answer.headers["content-type"].to_str().expect("ASCII");
                    assert_eq!(given, kind, "{method} {path}: {status}");
                    if kind == "text/event-stream" {
                        return;
                    }
                    &media["schema"]
                }
                None => return,
            }
        }
        None => problem(),
    };
    if let Err(wrong) = fits(&answer.body, schema, "") {
        panic!("{method} {path}: {wrong} in {}", answer.body);
    }
}

fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let (_, item) = paths.iter().find(|(template, _)| matches(template, path))?;
    item.get(method.to_lowercase())
}

fn matches(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some("{id}"), Some(_)) => {}
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

fn resolve(reference: &str) -> &'static Value {
    DOCUMENT.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn deref(value: &'static Value) -> &'static Value {
    value["$ref"].as_str().map_or(value, resolve)
}

/// The part of JSON Schema that our answers are described in.
pub(super) fn fits(value: &Value, schema: &'static Value, at: &str) -> Result<(), String> {
    let schema = deref(schema);
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    let right = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().expect("a type"))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    };
    let known = schema["enum"].as_array().is_none_or(|known| known.contains(value));
    let same = schema.get("const").is_none_or(|only| only == value);
    if !(right && known && same) {
        return Err(format!("{at} does not fit"));
    }
    if let Value::Array(items) = value {
        items.iter().try_for_each(|item| fits(item, &schema["items"], &format!("{at}/0")))?;
    }
    if let Value::Object(fields) = value {
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().expect("a name");
            fields.get(name).ok_or_else(|| format!("{at}/{name} is missing"))?;
        }
        for (name, field) in fields {
            let at = format!("{at}/{name}");
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(schema), _) => fits(field, schema, &at)?,
                (None, Value::Bool(false)) => return Err(format!("{at} is not documented")),
                (None, more) => fits(field, more, &at)?,
            }
        }
    }
    Ok(())
}
