//! Validates answers, and the bodies of accepted requests, against openapi.json.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Answer;

pub(super) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../openapi.json")).expect("JSON"));

/// Checks that the answer's status, media type and body are documented. Paths and methods that do not
/// exist answer with a problem.
#[track_caller]
pub(super) fn check_answer(method: &str, path: &str, answer: &Answer) {
    let Some(operation) = operation(method, path) else {
        return validate(&json!({"$ref": "#/components/schemas/Problem"}), &answer.body);
    };
    let status = answer.status.as_str();
    let response = deref(&operation["responses"][status]);
    assert!(!response.is_null(), "{method} {path}: {status} is not documented");
    let Some((kind, media)) = response["content"].as_object().and_then(|kinds| kinds.iter().next())
    else {
        return;
    };
    let given = answer.headers["content-type"].to_str().expect("ASCII");
    assert_eq!(given, kind, "{method} {path}: {status}");
    if kind != "text/event-stream" {
        validate(&media["schema"], &answer.body);
    }
}

/// Checks that the document permits the body of a POST that was accepted. The document does not tell
/// that the names of signals may be in lower case: patterns of JSON Schema can't ignore case.
#[track_caller]
pub(super) fn check_request(path: &str, body: &Value) {
    if path.ends_with("/signal") {
        return;
    }
    let operation = operation("post", path).expect("an accepted request is documented");
    validate(&operation["requestBody"]["content"]["application/json"]["schema"], body);
}

#[track_caller]
fn validate(schema: &Value, body: &Value) {
    let errors: Vec<_> = validator(schema)
        .iter_errors(body)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?} in {body}");
}

/// A validator for a schema of the document, compiled once.
fn validator(schema: &Value) -> Arc<Validator> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> =
        LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock();
    let compile = || {
        let mut schema = schema.clone();
        schema["components"] = DOCUMENT["components"].clone();
        Arc::new(jsonschema::validator_for(&schema).expect("a JSON Schema"))
    };
    Arc::clone(compiled.entry(schema.to_string()).or_insert_with(compile))
}

fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let (_, item) = paths.iter().find(|(template, _)| matches(template, path))?;
    item.get(method.to_lowercase())
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(part, given)| part.starts_with('{') || part == given)
}

fn deref(value: &'static Value) -> &'static Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    DOCUMENT.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} does not exist"))
}
