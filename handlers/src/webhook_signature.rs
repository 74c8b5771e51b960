//! Signatures of webhooks (<https://www.standardwebhooks.com>).

use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{Secret, ports::Ids};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What a key starts with.
pub(crate) const KEY_PREFIX: &str = "whsec_";
/// Bytes of a generated key.
const KEY_SIZE: usize = 32;

/// A new key: [`KEY_PREFIX`] and random bytes in base64.
pub fn new_webhook_key(ids: &dyn Ids) -> Secret<String> {
    let key = BASE64_STANDARD.encode(ids.secret(KEY_SIZE));
    Secret::new(format!("{KEY_PREFIX}{key}"))
}

/// The key of an endpoint is not valid base64.
#[derive(Debug, thiserror::Error)]
#[error("the key of the endpoint is not valid base64")]
pub struct InvalidKeyError;

/// The header `webhook-signature` by Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`. `timestamp` is
/// in seconds since 1970.
///
/// # Errors
/// If the key is not base64, after the prefix `whsec_` if it has one.
pub fn sign_webhook(
    key: &Secret<String>,
    id: &str,
    timestamp: i64,
    body: &str,
) -> Result<Secret<String>, InvalidKeyError> {
    let key = key.expose();
    let key = BASE64_STANDARD
        .decode(key.strip_prefix(KEY_PREFIX).unwrap_or(key))
        .map_err(|_| InvalidKeyError)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("an HMAC key may be of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    Ok(Secret::new(format!("v1,{signature}")))
}
