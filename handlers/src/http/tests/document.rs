//! Generates openapi.json: the operations from the table in `operations.rs`, the requests from the
//! rules that read them, the responses from the views. The test fails if the file differs; with
//! `UPDATE=1` the test writes the file.

use std::fs;

use axum::http::StatusCode;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http::{
    page::List,
    problem::{Body, Code},
};

mod files;
mod operation;
mod operations;
mod processes;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/openapi.json");

/// The statuses of problems, with the name and the description of their component.
const PROBLEMS: [(u16, &str, &str); 17] = [
    (400, "BadRequest", "The request is invalid; errors says what and where."),
    (401, "Unauthenticated", "There is no valid token."),
    (403, "Forbidden", "The deployment does not allow this to anybody, such as a command as root."),
    (404, "NotFound", "There is nothing with this id or path, or it is another user's."),
    (
        406,
        "NoStreams",
        "The client accepts no events, or this deployment can't hold a response open; use a \
        long poll instead.",
    ),
    (409, "Conflict", "The object's state does not permit it."),
    (410, "Gone", "The session has ended or is ending, or the bytes are removed."),
    (412, "Changed", "The file is not the one of If-Match or If-Unmodified-Since."),
    (413, "TooLarge", "The body is too large."),
    (415, "MediaType", "The body is not application/json, or is encoded."),
    (
        416,
        "NoSuchRange",
        "The file has nothing in the requested range; Content-Range tells its size.",
    ),
    (422, "Mismatch", "Another request used this Idempotency-Key."),
    (
        429,
        "TooMany",
        "A limit of the caller is reached: sessions, starts in a minute, queued jobs, stored data, or \
        requests at once.",
    ),
    (500, "Internal", "An internal error."),
    (501, "NotImplemented", "This deployment has no such way to shells."),
    (503, "Unavailable", "A backend is unavailable; retry with the same Idempotency-Key."),
    (
        507,
        "Full",
        "The disk of this server is almost full: only stops and cancellations are accepted. Or the disk \
        of the shell is full.",
    ),
];

/// The document, its parts in the usual order.
#[derive(Serialize)]
struct Document {
    openapi: &'static str,
    info: Value,
    servers: Value,
    security: Value,
    paths: Map<String, Value>,
    components: Value,
}

/// Collects the schemas that the document needs.
struct Schemas {
    generator: SchemaGenerator,
    named: Map<String, Value>,
}

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        Self { generator: settings.into_generator(), named: Map::new() }
    }

    /// The schema of a view: a reference to its component, or the schema itself.
    fn of<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// A page of views of this type, as a component of this name.
    fn list<T: JsonSchema>(&mut self, name: &str) -> Value {
        let schema = self.of::<List<T>>();
        self.name(name, schema)
    }

    /// Makes a schema a component of this name, and gives the reference to it.
    fn name(&mut self, name: &str, mut schema: Value) -> Value {
        simplify(&mut schema);
        self.component(name, schema)
    }

    /// Makes the schema of a request body a component of this name, and gives the reference to it.
    fn body(&mut self, name: &str, mut schema: Value) -> Value {
        simplify(&mut schema);
        accept_null(&mut schema);
        self.component(name, schema)
    }

    fn component(&mut self, name: &str, schema: Value) -> Value {
        let schema = self.hoist(schema);
        let known = self.named.insert(name.to_owned(), schema.clone());
        assert!(known.is_none_or(|known| known == schema), "two components are named {name}");
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// Moves the definitions within a schema to the components.
    fn hoist(&mut self, mut schema: Value) -> Value {
        if let Some(Value::Object(definitions)) =
            schema.as_object_mut().and_then(|schema| schema.remove("$defs"))
        {
            for (name, definition) in definitions {
                self.name(&name, definition);
            }
        }
        for_each_part(&mut schema, &mut |part| *part = self.hoist(part.take()));
        schema
    }

    fn into_components(mut self) -> Map<String, Value> {
        for (name, schema) in self.generator.take_definitions(true) {
            self.name(&name, schema);
        }
        self.named
    }
}

/// Simplifies a schema by what holds in the whole API: objects have no further properties, an optional
/// property is absent rather than null, an enum is a plain list of values.
fn simplify(schema: &mut Value) {
    for_each_part(schema, &mut simplify);
    let Value::Object(keywords) = schema else { return };
    if keywords.get("format").and_then(Value::as_str).is_some_and(|format| {
        ["int", "uint", "double"].iter().any(|number| format.starts_with(number))
    }) {
        keywords.remove("format");
    }
    if let Some(values) = keywords.get("oneOf").and_then(Value::as_array).and_then(values) {
        keywords.remove("oneOf");
        keywords.insert("type".into(), json!("string"));
        keywords.insert("enum".into(), values);
    }
    let required = keywords.get("required").cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = keywords.get_mut("properties") else { return };
    for (name, property) in properties {
        let required = required.as_array().into_iter().flatten().any(|known| known == name);
        if !required {
            refuse_null(property);
        }
    }
    // A part without a type only adds constraints to the object around it.
    if keywords.contains_key("type") {
        keywords.insert("additionalProperties".into(), json!(false));
    }
}

/// The values of an enum whose variants have descriptions of their own.
fn values(alternatives: &Vec<Value>) -> Option<Value> {
    let mut values = Vec::new();
    for alternative in alternatives {
        match (alternative.get("const"), alternative.get("enum")) {
            (Some(value), None) => values.push(value.clone()),
            (None, Some(Value::Array(more))) => values.extend(more.iter().cloned()),
            _ => return None,
        }
    }
    Some(Value::Array(values))
}

fn refuse_null(property: &mut Value) {
    let Value::Object(keywords) = property else { return };
    if let Some(Value::Array(types)) = keywords.get_mut("type") {
        types.retain(|known| known != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            keywords.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = keywords.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(alternatives)) = keywords.get_mut("anyOf") {
        alternatives.retain(|known| known != &json!({"type": "null"}));
        if let [Value::Object(only)] = alternatives.as_slice() {
            let only = only.clone();
            keywords.remove("anyOf");
            keywords.extend(only);
        }
    }
}

/// Allows null for the optional properties of a request body, where it counts as absent. Descriptions
/// and defaults stay beside the alternatives.
fn accept_null(schema: &mut Value) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, property) in properties {
        if required.as_array().into_iter().flatten().any(|known| known == name) {
            continue;
        }
        accept_null(property);
        let Value::Object(keywords) = property.take() else { continue };
        let (mut outside, value): (Map<_, _>, Map<_, _>) = keywords
            .into_iter()
            .partition(|(keyword, _)| keyword == "description" || keyword == "default");
        outside.insert("anyOf".into(), json!([value, {"type": "null"}]));
        *property = outside.into();
    }
}

fn for_each_part(schema: &mut Value, change: &mut impl FnMut(&mut Value)) {
    match schema {
        Value::Object(parts) => parts.values_mut().for_each(change),
        Value::Array(parts) => parts.iter_mut().for_each(change),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The responses for problems, by component. Each lists the codes of its status.
fn problems(schema: &Value) -> Map<String, Value> {
    let problem = |(status, name, description): (u16, &str, &str)| {
        let with_status = |code: &&Code| code.parts().1.as_u16() == status;
        let codes: Vec<_> = Code::ALL.iter().filter(with_status).collect();
        let names: Vec<_> = codes.iter().map(|code| code.parts().0).collect();
        let mut headers = json!({"X-Request-Id": header("RequestId")});
        if codes.iter().any(|code| code.retry_after().is_some()) {
            headers["Retry-After"] = header("RetryAfter");
        }
        if status == StatusCode::UNAUTHORIZED {
            headers["WWW-Authenticate"] = json!({"schema": {"type": "string"}});
        }
        let response = json!({
            "description": format!("{description} {}", names.join(", ")),
            "headers": headers,
            "content": {"application/problem+json": {"schema": schema}},
        });
        (name.to_owned(), response)
    };
    PROBLEMS.map(problem).into_iter().collect()
}

fn header(component: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{component}")})
}

fn document() -> Document {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for (path, method, operation) in operations::all(&mut schemas) {
        paths.entry(path).or_insert_with(|| json!({}))[method] = operation;
    }
    let problems = problems(&schemas.of::<Body<'_>>());
    Document {
        openapi: "3.1.0",
        info: json!({
            "title": "ephemeral",
            "version": "1",
            "summary": "Disposable shells behind an asynchronous API.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        }),
        servers: json!([{"url": "/"}]),
        security: json!([{"token": []}]),
        paths,
        components: json!({
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "parameters": {"IdempotencyKey": {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
                "description": "The same key and body within 24 h get the first response again.",
            }},
            "headers": {
                "RequestId": {"schema": {"type": "string"}},
                "RetryAfter": {"schema": {"type": "integer", "minimum": 0}, "description": "Seconds."},
                "Location": {"schema": {"type": "string"}},
                "Replayed": {
                    "schema": {"const": "true"},
                    "description": "The stored response to an earlier request with the same key.",
                },
            },
            "responses": problems,
            "schemas": schemas.into_components(),
        }),
    }
}

#[test]
fn the_document_is_generated_from_the_code() {
    let generated = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs::write(FILE, &generated).unwrap();
    }
    let file = fs::read_to_string(FILE).unwrap();
    assert!(file == generated, "openapi.json is out of date: run this test with UPDATE=1");
}

#[test]
fn no_description_has_a_link_of_rustdoc() {
    fn check(part: &mut Value) {
        if let Some(text) = part.get("description").and_then(Value::as_str) {
            assert!(!text.contains("[`") && !text.contains("::"), "{text}");
        }
        for_each_part(part, &mut check);
    }
    check(&mut serde_json::to_value(document()).unwrap());
}

#[test]
fn every_code_of_a_problem_is_listed() {
    let schema = schemars::schema_for!(Code).to_value();
    let names = Code::ALL.map(|code| code.parts().0);
    assert_eq!(schema["enum"], json!(names.as_slice()));
}
