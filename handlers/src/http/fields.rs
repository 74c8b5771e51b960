//! Reads a JSON body strictly, field by field, and reports everything that is wrong with it at once.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    json::{self, Parsed},
    problem::{Code, InputError, Problem},
    rule::{FieldError, Recorder, Rule},
};

/// The most characters of an unknown field's name that an answer repeats.
const MAX_NAME: usize = 128;

/// The fields of an object. Each is taken by its rule; a field that is left over is unknown.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    values: Map<String, Value>,
    /// The JSON pointer from the body to this object.
    pointer: String,
    errors: &'a mut Vec<InputError>,
    recorder: Recorder,
    /// Keywords of the object's schema beyond its fields, all of which hold.
    constraints: Vec<Value>,
}

/// Reads a body that must be an object; an empty body counts as `{}`. `read` returns `None` only
/// where it has reported an error.
pub(super) fn read_object<T>(
    body: &[u8],
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Problem> {
    let value = if body.is_empty() {
        Value::Object(Map::new())
    } else {
        // The error names a line and a column, but never the body's text, which may be secret.
        let Parsed { value, repeated } = json::parse(body)
            .map_err(|error| Problem::new(Code::MalformedJson, error.to_string()))?;
        if !repeated.is_empty() {
            let error =
                |pointer| FieldError { pointer, ..FieldError::new("is given more than once") };
            let errors = repeated.into_iter().map(shorten).map(error);
            let errors = errors.map(|error| InputError::in_body("", error)).collect();
            return Err(Problem::invalid(errors));
        }
        value
    };
    let values =
        object(value).map_err(|error| Problem::invalid(vec![InputError::in_body("", error)]))?;
    let mut errors = Vec::new();
    let mut fields = Fields::new(values, String::new(), Recorder::default(), &mut errors);
    let request = read(&mut fields);
    fields.refuse_unknown();
    match request {
        Some(request) if errors.is_empty() => Ok(request),
        _ => Err(Problem::invalid(errors)),
    }
}

/// A JSON pointer as a response repeats it.
fn shorten(pointer: String) -> String {
    if pointer.chars().nth(MAX_NAME).is_none() {
        return pointer;
    }
    pointer.chars().take(MAX_NAME).collect()
}

/// The JSON Schema of the objects that `read` accepts, for the API document.
pub(super) fn schema_of<T>(read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Value {
    let mut errors = Vec::new();
    let recorder = Recorder { active: true, ..Recorder::default() };
    let mut fields = Fields::new(Map::new(), String::new(), recorder, &mut errors);
    read(&mut fields);
    fields.schema()
}

impl<'a> Fields<'a> {
    fn new(
        values: Map<String, Value>,
        pointer: String,
        recorder: Recorder,
        errors: &'a mut Vec<InputError>,
    ) -> Self {
        Self { values, pointer, errors, recorder, constraints: Vec::new() }
    }

    /// A field that may be absent. `null` counts as absent: many clients serialize absent values so.
    pub(super) fn optional<T, F>(&mut self, name: &str, rule: Rule<F>) -> Option<T>
    where
        F: FnOnce(Value) -> Result<T, FieldError>,
    {
        self.recorder.add(name, &rule.schema);
        let value = self.take(name)?;
        (rule.read)(value).map_err(|error| self.report(error.below(name))).ok()
    }

    /// A field that has this value where it is absent.
    pub(super) fn with_default<T, F>(&mut self, name: &str, rule: Rule<F>, default: T) -> T
    where
        T: Serialize,
        F: FnOnce(Value) -> Result<T, FieldError>,
    {
        self.optional(name, rule.with("default", &default)).unwrap_or(default)
    }

    /// A field that must be there.
    pub(super) fn required<T, F>(&mut self, name: &str, rule: Rule<F>) -> Option<T>
    where
        F: FnOnce(Value) -> Result<T, FieldError>,
    {
        self.recorder.require(name);
        if !self.has(name) {
            self.report(FieldError::new("is required").below(name));
        }
        self.optional(name, rule)
    }

    /// A field that is an object with fields of its own, and may be absent.
    pub(super) fn nested<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        if self.recorder.active {
            self.recorder.add(name, &schema_of(read));
            return None;
        }
        let value = self.take(name)?;
        let values = object(value).map_err(|error| self.report(error.below(name))).ok()?;
        let pointer = format!("{}/{name}", self.pointer);
        let mut fields = Fields::new(values, pointer, Recorder::default(), self.errors);
        let result = read(&mut fields);
        fields.refuse_unknown();
        result
    }

    /// Whether a field of this name has a value other than null, and was not taken yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// Removes a field; none if it is absent or null.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name).filter(|value| !value.is_null())
    }

    /// Reports an error at a place below this object.
    pub(super) fn report(&mut self, error: FieldError) {
        self.errors.push(InputError::in_body(&self.pointer, error));
    }

    /// Adds keywords to this object's schema, for what no single field can say.
    pub(super) fn constrain(&mut self, keywords: impl FnOnce() -> Value) {
        if self.recorder.active {
            self.constraints.push(keywords());
        }
    }

    fn schema(self) -> Value {
        let Recorder { values, required, .. } = self.recorder;
        let properties: Map<_, _> = values.into_iter().collect();
        let mut schema = json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        for keywords in self.constraints {
            constrain(&mut schema, keywords);
        }
        schema
    }

    fn refuse_unknown(mut self) {
        for name in std::mem::take(&mut self.values).into_iter().map(|(name, _)| name) {
            let name: String = name.chars().take(MAX_NAME).collect();
            self.report(FieldError::new("is unknown").below(name));
        }
    }
}

/// A value that must be an object.
pub(super) fn object(value: Value) -> Result<Map<String, Value>, FieldError> {
    if let Value::Object(map) = value { Ok(map) } else { Err(FieldError::new("must be an object")) }
}

/// Adds keywords to a schema; beside its own where it has some of them already.
fn constrain(schema: &mut Value, keywords: Value) {
    let (Value::Object(schema), Value::Object(keywords)) = (schema, keywords) else { return };
    if keywords.keys().any(|name| schema.contains_key(name)) {
        let all = schema.entry("allOf").or_insert_with(|| json!([]));
        if let Value::Array(all) = all {
            all.push(Value::Object(keywords));
        }
    } else {
        schema.extend(keywords);
    }
}
