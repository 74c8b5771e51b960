//! Describes one operation. What all operations of a method have in common is added here.

use serde_json::{Map, Value, json};

use super::{PROBLEMS, header};
use crate::http::{extract::Params, rule::Recorder};

pub(super) const JSON: &str = "application/json";

/// An operation as far as it is described.
pub(super) struct Operation {
    path: &'static str,
    method: &'static str,
    value: Value,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
    /// Where fields of the successful response can be used.
    links: Map<String, Value>,
}

/// A GET: its query is checked, and its caller known.
pub(super) fn get(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new("get", path, id, summary).problems(&[400, 401, 429, 500, 503])
}

/// A POST: it has a body, perhaps with an idempotency key, and its caller is known.
pub(super) fn post(path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new("post", path, id, summary)
        .problems(&[400, 401, 413, 415, 422, 429, 500, 503, 507])
}

/// A request for files of a session, which reaches its shell.
pub(super) fn files(
    method: &'static str,
    path: &'static str,
    id: &str,
    summary: &str,
) -> Operation {
    Operation::new(method, path, id, summary)
        .problems(&[400, 401, 403, 404, 409, 410, 429, 500, 501, 503, 507])
}

impl Operation {
    fn new(method: &'static str, path: &'static str, id: &str, summary: &str) -> Self {
        let value = json!({"operationId": id, "summary": summary});
        let (parameters, responses, links) = (Vec::new(), Map::new(), Map::new());
        let mut operation = Self { path, method, value, parameters, responses, links };
        if method == "post" {
            let key = json!({"$ref": "#/components/parameters/IdempotencyKey"});
            operation.parameters.push(key);
        }
        if path.contains("{id}") {
            let schema = match path.split('/').nth(2) {
                Some("jobs") => "JobId",
                Some("sessions") => "SessionId",
                _ => "DeliveryId",
            };
            let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
            let id = json!({"name": "id", "in": "path", "required": true, "schema": schema});
            return operation.parameter(id).problems(&[404]);
        }
        operation
    }

    /// The operation needs no caller and reads nothing.
    pub(super) fn public(mut self) -> Self {
        self.value["security"] = json!([]);
        self.responses.clear();
        self
    }

    pub(super) fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// A POST that has the same effect again when it is repeated, whatever its idempotency key.
    pub(super) fn without_key(mut self) -> Self {
        self.parameters.retain(|parameter| parameter.get("$ref").is_none());
        for response in self.responses.values_mut() {
            response["headers"]
                .as_object_mut()
                .map(|headers| headers.remove("Idempotent-Replayed"));
        }
        self
    }

    /// Adds the parameters that `read` takes.
    pub(super) fn query<T>(mut self, read: impl FnOnce(&mut Params) -> T) -> Self {
        let Recorder { values, required, .. } = Params::recorded(read);
        for (name, mut schema) in values {
            let description =
                schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let is_required = required.contains(&name);
            let mut parameter = json!({"name": name, "in": "query", "schema": schema});
            if is_required {
                parameter["required"] = json!(true);
            }
            if let Some(description) = description {
                parameter["description"] = description;
            }
            self.parameters.push(parameter);
        }
        self
    }

    pub(super) fn body(self, schema: Value) -> Self {
        self.with_body(&schema, true)
    }

    pub(super) fn optional_body(self, schema: Value) -> Self {
        self.with_body(&schema, false)
    }

    /// A body of raw bytes.
    pub(super) fn bytes(mut self, kind: &str, description: &str) -> Self {
        let content = json!({kind: {}});
        self.value["requestBody"] =
            json!({"required": true, "description": description, "content": content});
        self
    }

    fn with_body(mut self, schema: &Value, required: bool) -> Self {
        let content = json!({JSON: {"schema": schema}});
        self.value["requestBody"] = json!({"required": required, "content": content});
        self
    }

    pub(super) fn problems(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            let problem = PROBLEMS.iter().find(|(known, ..)| known == status);
            let (_, name, _) = problem.expect("the status of a documented problem");
            let response = json!({"$ref": format!("#/components/responses/{name}")});
            self.responses.insert(status.to_string(), response);
        }
        self
    }

    /// Adds a response, with its media type and schema if it has a body.
    pub(super) fn response(
        mut self,
        status: u16,
        description: &str,
        body: Option<(&str, Value)>,
    ) -> Self {
        let mut headers = json!({"X-Request-Id": header("RequestId")});
        if self.method == "post" {
            headers["Idempotent-Replayed"] = header("Replayed");
        }
        let mut response = json!({"description": description, "headers": headers});
        if let Some((kind, schema)) = body {
            response["content"] = json!({kind: {"schema": schema}});
        }
        self.responses.insert(status.to_string(), response);
        self
    }

    /// Adds a header to a response that was added before.
    pub(super) fn response_header(mut self, status: &str, name: &str, header: Value) -> Self {
        self.responses[status]["headers"][name] = header;
        self
    }

    /// 202 for a job, with its path and when to ask for it.
    pub(super) fn accepted_job(self, schema: &Value) -> (&'static str, &'static str, Value) {
        self.accepted_as_job("Accepted.", schema)
    }

    /// The same with a description.
    pub(super) fn accepted_as_job(
        self,
        description: &str,
        schema: &Value,
    ) -> (&'static str, &'static str, Value) {
        let mut operation = self.response(202, description, Some((JSON, schema.clone())));
        let headers = &mut operation.responses["202"]["headers"];
        headers["Location"] = header("Location");
        headers["Retry-After"] = header("RetryAfter");
        operation.done()
    }

    /// 200 with this body.
    pub(super) fn ok(
        self,
        description: &str,
        schema: Value,
    ) -> (&'static str, &'static str, Value) {
        self.response(200, description, Some((JSON, schema))).done()
    }

    /// Says where a field of the response can be used: in each of these operations, as this parameter, or
    /// as this field of the body (`body.NAME`).
    pub(super) fn links(mut self, field: &str, target: &str, operations: &[&str]) -> Self {
        let value = json!(format!("$response.body#/{field}"));
        for operation in operations {
            let (place, name) = match target.strip_prefix("body.") {
                Some(name) => ("requestBody", name),
                None => ("parameters", target),
            };
            let link = json!({"operationId": operation, place: {name: value}});
            self.links.insert((*operation).to_owned(), link);
        }
        self
    }

    pub(super) fn done(mut self) -> (&'static str, &'static str, Value) {
        let mut successes = self.responses.iter_mut().filter(|(status, _)| status.starts_with('2'));
        if let Some((_, success)) = successes.next().filter(|_| !self.links.is_empty()) {
            success["links"] = json!(self.links);
        }
        self.value["parameters"] = json!(self.parameters);
        self.value["responses"] = json!(self.responses);
        (self.path, self.method, self.value)
    }
}
