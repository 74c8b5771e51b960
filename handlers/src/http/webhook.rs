//! The webhook endpoint that a start names.

use axum::http::Uri;
use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{
    Secret,
    webhook::{Endpoint, EventType},
};
use serde_json::{Value, json};

use super::{
    fields::Fields,
    rule::{FieldError, Rule, bounded, component, one_of},
};
use crate::{Env, Policy};

/// The beginning of signing keys (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";
/// The longest URL. Bytes.
const MAX_URL: usize = 2048;
/// The longest signing key, as text. Bytes.
const MAX_SECRET: usize = 256;

/// The endpoint as the request names it.
#[derive(Debug)]
pub(super) struct WebhookRequest {
    url: Secret<String>,
    events: Vec<EventType>,
    secret: Option<Secret<String>>,
}

impl WebhookRequest {
    /// Reads `{url, events?, secret?}`.
    pub(super) fn read(fields: &mut Fields<'_>, policy: &Policy) -> Option<Self> {
        let url = fields.required("url", url(policy.webhook_allow_private));
        let events = fields.optional("events", events()).unwrap_or_default();
        let secret = fields.optional("secret", secret()).map(Secret::new);
        Some(Self { url: Secret::new(url?), events, secret })
    }

    /// Whether the signing key is to be generated.
    pub(super) const fn needs_secret(&self) -> bool {
        self.secret.is_none()
    }

    /// The endpoint, with a generated key where the request has none.
    pub(super) fn endpoint(self, env: &Env) -> Endpoint {
        let Self { url, mut events, secret } = self;
        events.sort_unstable_by_key(|event| event.name());
        events.dedup();
        let generate = || {
            let key = BASE64_STANDARD.encode(env.ids.secret(32));
            Secret::new(format!("{SECRET_PREFIX}{key}"))
        };
        Endpoint { url, events, secret: secret.unwrap_or_else(generate), gone: false }
    }
}

/// An absolute https URL. The address behind it is checked when a delivery connects to it.
fn url(allow_http: bool) -> Rule<impl Fn(Value) -> Result<String, FieldError>> {
    let schema = || {
        json!({
            "type": "string",
            "format": "uri",
            "maxLength": MAX_URL,
            "pattern": "^https?://",
            "description": "Absolute; https unless this deployment permits http.",
        })
    };
    Rule::new(move |value| read_url(value, allow_http), schema)
}

fn read_url(value: Value, allow_http: bool) -> Result<String, FieldError> {
    let text = bounded(value, MAX_URL)?;
    let uri: Uri = text.parse().map_err(|_| FieldError::new("must be an absolute URL"))?;
    let Some(authority) = uri.authority() else {
        return Err(FieldError::new("must be an absolute URL"));
    };
    if authority.host().is_empty() || authority.as_str().contains('@') || text.contains('#') {
        return Err(FieldError::new("must have a host, no user and no fragment"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(text),
        Some("http") if allow_http => Ok(text),
        _ => Err(FieldError::new("must begin with https://")),
    }
}

fn events() -> Rule<impl Fn(Value) -> Result<Vec<EventType>, FieldError>> {
    let read = |value| {
        let Value::Array(values) = value else {
            return Err(FieldError::new("must be an array"));
        };
        let event = |(index, value): (usize, Value)| {
            (one_of(&EventType::ALL).read)(value).map_err(|error| error.below(index.to_string()))
        };
        values.into_iter().enumerate().map(event).collect()
    };
    Rule::new(read, || json!({"type": "array", "items": component("EventType")}))
        .describe("All, if empty or absent.")
}

fn secret() -> Rule<impl Fn(Value) -> Result<String, FieldError>> {
    let read = |value| {
        let text = bounded(value, MAX_SECRET)?;
        let key = text.strip_prefix(SECRET_PREFIX).and_then(|key| BASE64_STANDARD.decode(key).ok());
        match key {
            Some(key) if (24..=64).contains(&key.len()) => Ok(text),
            _ => Err(FieldError::new("must be whsec_ and 24 to 64 bytes in base64")),
        }
    };
    Rule::new(read, || json!({"type": "string", "pattern": "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$"}))
        .describe("whsec_ and 24 to 64 bytes in base64. Generated if absent.")
}
