//! JSON Schemas of tools, in the part of the language that all clients understand.

use std::{any::Any, sync::Arc};

use rmcp::{handler::server::tool::schema_for_output, model::JsonObject};
use schemars::JsonSchema;
use serde_json::Value;

/// The schema of what a tool takes.
pub(crate) fn input<T: JsonSchema + Any>() -> Arc<JsonObject> {
    let mut schema = rmcp::handler::server::common::schema_for_type::<T>();
    let object = Arc::make_mut(&mut schema);
    object.remove("title");
    object.remove("description");
    simplify_object(object);
    schema
}

/// The schema of what a tool returns.
pub(crate) fn output<T: JsonSchema + Any>() -> Arc<JsonObject> {
    let mut schema = schema_for_output::<T>();
    simplify_object(Arc::make_mut(&mut schema));
    schema
}

/// Removes `null` from what a field may be, as such a field can be left out instead, and the formats of
/// numbers, which only Rust knows. Some clients refuse both.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Object(object) => simplify_object(object),
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn simplify_object(object: &mut JsonObject) {
    let format = object.get("format").and_then(Value::as_str).unwrap_or_default();
    if format.starts_with("uint") || format.starts_with("int") {
        object.remove("format");
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [kind] = types.as_slice() {
            let kind = kind.clone();
            object.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(cases)) = object.get_mut("anyOf") {
        cases.retain(|case| case["type"] != "null");
        if let [Value::Object(case)] = cases.as_slice() {
            let case = case.clone();
            object.remove("anyOf");
            object.extend(case);
        }
    }
    object.values_mut().for_each(simplify);
}

#[cfg(test)]
mod tests;
