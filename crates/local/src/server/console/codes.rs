//! One-time codes, each of which stands for a token. They are kept in memory only.

use std::{collections::HashMap, fmt, sync::Arc, time::Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    Secret, UserId,
    ports::{BackendError, Ids},
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::CODE_LIFETIME;
use crate::tokens::Tokens;

/// How many random bytes a code has.
const RANDOM_BYTES: usize = 32;

/// The hash of a code: a search by hash reveals nothing about other codes by its duration.
type Hash = [u8; 32];

struct Entry {
    token: Secret<String>,
    expires: Instant,
}

/// The codes that were created and not used yet. Clones share them.
#[derive(Clone)]
pub(in crate::server) struct Codes {
    tokens: Tokens,
    ids: Arc<dyn Ids>,
    entries: Arc<Mutex<HashMap<Hash, Entry>>>,
}

impl Codes {
    pub(in crate::server) fn new(tokens: Tokens, ids: Arc<dyn Ids>) -> Self {
        Self { tokens, ids, entries: Arc::default() }
    }

    /// A code for this token. An earlier code for the same token becomes invalid, so there are never
    /// more codes than tokens.
    pub(in crate::server) fn create(&self, token: Secret<String>, now: Instant) -> Secret<String> {
        let code = URL_SAFE_NO_PAD.encode(self.ids.secret(RANDOM_BYTES));
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| entry.expires > now && entry.token != token);
        entries.insert(hash(&code), Entry { token, expires: now + CODE_LIFETIME });
        Secret::new(code)
    }

    /// The user and the token of a code, once. None for an unknown, used or expired code, and if the
    /// token was revoked since.
    pub(super) fn redeem(
        &self,
        code: &str,
        now: Instant,
    ) -> Result<Option<(UserId, Secret<String>)>, BackendError> {
        let entry = self.entries.lock().remove(&hash(code));
        let Some(Entry { token, .. }) = entry.filter(|entry| entry.expires > now) else {
            return Ok(None);
        };
        Ok(self.tokens.user_of(token.expose())?.map(|user| (user, token)))
    }
}

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codes").field("open", &self.entries.lock().len()).finish_non_exhaustive()
    }
}

fn hash(code: &str) -> Hash {
    Sha256::digest(code).into()
}
