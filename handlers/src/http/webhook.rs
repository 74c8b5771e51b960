//! The endpoint that a start names.

use axum::http::Uri;
use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{
    Secret,
    webhook::{Endpoint, EventType},
};
use serde_json::Value;

use super::{
    command::words,
    fields::{Fields, Wrong, text, word},
};
use crate::Env;

/// What signing keys begin with (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";

/// The endpoint, and whether its key is ours to show.
#[derive(Debug)]
pub(super) struct Webhook {
    pub(super) endpoint: Endpoint,
    pub(super) generated: bool,
}

/// Reads `{url, events?, secret?}`; makes a key if there is none.
pub(super) fn read(fields: &mut Fields<'_>, env: &Env) -> Option<Webhook> {
    let url = fields.required("url", |value| url(value, env.policy.webhook_allow_private));
    let events = fields.optional("events", |value| {
        let known: Vec<_> = EventType::ALL.iter().map(|event| (event.name(), *event)).collect();
        words(value, word(&known))
    });
    let given = fields.optional("secret", secret);
    let generated = given.is_none();
    let secret = given.unwrap_or_else(|| {
        format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(env.ids.secret(32)))
    });
    let mut events = events.unwrap_or_default();
    events.sort_unstable_by_key(|event| event.name());
    events.dedup();
    let (url, secret) = (Secret::new(url?), Secret::new(secret));
    Some(Webhook { endpoint: Endpoint { url, events, secret, gone: false }, generated })
}

/// An absolute https URL. The address behind it is checked when it is connected to.
fn url(value: Value, plain_too: bool) -> Result<String, Wrong> {
    let text = text(2048)(value)?;
    let uri: Uri = text.parse().map_err(|_| Wrong::new("must be an absolute URL"))?;
    let host = uri.authority().map(|authority| (authority.host(), authority.as_str()));
    let Some((host, authority)) = host else {
        return Err(Wrong::new("must be an absolute URL"));
    };
    if host.is_empty() || authority.contains('@') || text.contains('#') {
        return Err(Wrong::new("must have a host, no user and no fragment"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(text),
        Some("http") if plain_too => Ok(text),
        _ => Err(Wrong::new("must begin with https://")),
    }
}

fn secret(value: Value) -> Result<String, Wrong> {
    let text = text(256)(value)?;
    let key = text.strip_prefix(SECRET_PREFIX).and_then(|key| BASE64_STANDARD.decode(key).ok());
    match key {
        Some(key) if (24..=64).contains(&key.len()) => Ok(text),
        _ => Err(Wrong::new("must be whsec_ and 24 to 64 bytes in base64")),
    }
}
