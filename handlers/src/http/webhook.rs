//! The webhook endpoint that a start names.

use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{
    Secret,
    webhook::{Endpoint, EventType},
};
use serde_json::{Value, json};
use url::Url;

use super::{
    fields::Fields,
    rule::{FieldError, Rule, bounded, component, one_of},
};
use crate::{
    Env, Policy,
    webhook_signature::{KEY_PREFIX, new_webhook_key},
};

/// `whsec_` and 24 to 64 bytes in base64: with 0, 1 or 2 bytes in the last group, whose unused bits are 0.
const SECRET_PATTERN: &str = "^whsec_((?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/][AQgw]==)?\
    |(?:[A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)$";
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
        let secret = secret.unwrap_or_else(|| new_webhook_key(&*env.ids));
        Endpoint { url, events, secret, gone: false }
    }
}

/// An absolute https URL, by the parser that the deliveries use. The address behind it is checked when a delivery connects to it.
fn url(allow_http: bool) -> Rule<impl Fn(Value) -> Result<String, FieldError>> {
    let schema = || {
        json!({
            "type": "string",
            "format": "uri",
            "maxLength": MAX_URL,
            "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^\\s@#?/\\\\]+([?/][^\\s#\\\\]*)?$",
            "description": "Absolute; https unless this deployment permits http.",
        })
    };
    Rule::new(move |value| read_url(value, allow_http), schema)
}

fn read_url(value: Value, allow_http: bool) -> Result<String, FieldError> {
    let text = bounded(value, MAX_URL)?;
    // The parser would repair these: what is posted to would not be what was asked for.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(FieldError::new("must not contain spaces, control characters or backslashes"));
    }
    let lower = text.get(..8).unwrap_or_default().to_ascii_lowercase();
    match (lower.starts_with("https://"), lower.starts_with("http://")) {
        (true, _) => {}
        (_, true) if allow_http => {}
        _ => return Err(FieldError::new("must begin with https://")),
    }
    let url = Url::parse(&text)
        .map_err(|error| FieldError::new(format!("must be an absolute URL: {error}")))?;
    let has_user =
        !url.username().is_empty() || url.password().is_some() || authority(&text).contains('@');
    if url.host_str().is_none_or(str::is_empty) || has_user || url.fragment().is_some() {
        return Err(FieldError::new("must have a host, no user and no fragment"));
    }
    if url.port() == Some(0) {
        return Err(FieldError::new("must not have the port 0"));
    }
    Ok(text)
}

/// The host, and what may stand before and behind it.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
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
        let key = text.strip_prefix(KEY_PREFIX).and_then(|key| BASE64_STANDARD.decode(key).ok());
        match key {
            Some(key) if (24..=64).contains(&key.len()) => Ok(text),
            _ => Err(FieldError::new("must be whsec_ and 24 to 64 bytes in base64")),
        }
    };
    Rule::new(read, || json!({"type": "string", "pattern": SECRET_PATTERN}))
        .describe("whsec_ and 24 to 64 bytes in base64. Generated if absent.")
}
