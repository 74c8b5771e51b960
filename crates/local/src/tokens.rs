//! API tokens. Only their hashes are stored, so the file alone gives no access to the API.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    Secret, Timestamp, UserId,
    ports::{BackendError, Clock, Ids},
};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::database::Database;

/// The prefix of every token, by which scanners for leaked secrets find it.
const PREFIX: &str = "eph_";
/// How many random bytes a token has.
const RANDOM_BYTES: usize = 32;
/// How long a lookup is cached. Short, because another process may revoke a token.
pub(crate) const CACHE_FOR: Duration = Duration::from_secs(1);

type Hash = [u8; 32];

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// The id for [`Tokens::revoke`]. Not secret.
    pub id: String,
    /// The user whom the token authenticates.
    pub user: UserId,
    /// When the token was created.
    pub created_at: Timestamp,
}

/// The tokens in the embedded database. Clones share it.
#[derive(Clone)]
pub struct Tokens {
    db: Database,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    cache: Arc<Mutex<HashMap<Hash, (UserId, Instant)>>>,
}

impl Tokens {
    /// The tokens in this database.
    pub fn new(db: Database, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { db, clock, ids, cache: Arc::default() }
    }

    /// The database of the tokens.
    pub const fn database(&self) -> &Database {
        &self.db
    }

    /// Creates a token for a user. Its value can't be read again later.
    pub async fn create(&self, user: &UserId) -> Result<Secret<String>, BackendError> {
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.ids.secret(RANDOM_BYTES)));
        let (hash, id, user) = (hash(&token), self.ids.ulid().to_bytes(), user.clone());
        let now = self.clock.now().millis();
        let insert = move |db: &Connection| {
            db.prepare_cached(
                "-- tokens::create
                INSERT INTO tokens (hash, id, user, created_at) VALUES (?1, ?2, ?3, ?4)",
            )
            .and_then(|mut insert| insert.execute(params![hash, id, user.as_str(), now]))
            .map_err(|error| BackendError::new("storing a token", error))
        };
        self.db.write(insert, || ()).await?;
        Ok(Secret::new(token))
    }

    /// The user whom this token authenticates, if there is such a token. The table is searched by hash,
    /// so the duration of the search reveals nothing about other tokens.
    pub fn user_of(&self, token: &str) -> Result<Option<UserId>, BackendError> {
        let hash = hash(token);
        if let Some((user, at)) = self.cache.lock().get(&hash)
            && at.elapsed() < CACHE_FOR
        {
            return Ok(Some(user.clone()));
        }
        let user = self.db.read("looking up a token", |db| find(db, &hash))?;
        match &user {
            Some(user) => self.cache.lock().insert(hash, (user.clone(), Instant::now())),
            None => self.cache.lock().remove(&hash),
        };
        Ok(user)
    }

    /// Whether a user has a token.
    pub fn has_token(&self, user: &UserId) -> Result<bool, BackendError> {
        self.db.read("looking for a user's token", |db| has_token(db, user))
    }

    /// All tokens, oldest first.
    pub fn list(&self) -> Result<Vec<TokenInfo>, BackendError> {
        self.db.read("listing tokens", list)
    }

    /// Revokes a token; other processes accept it for up to one more second. False if there is no token
    /// with this id.
    pub async fn revoke(&self, id: &str) -> Result<bool, BackendError> {
        let Ok(id) = Ulid::from_string(id) else { return Ok(false) };
        let delete = move |db: &Connection| {
            db.prepare_cached(
                "-- tokens::revoke
                DELETE FROM tokens WHERE id = ?1",
            )
            .and_then(|mut delete| delete.execute([id.to_bytes()]))
            .map_err(|error| BackendError::new("revoking a token", error))
        };
        let deleted = self.db.write(delete, || ()).await?;
        self.cache.lock().clear();
        Ok(deleted == 1)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("db", &self.db).finish_non_exhaustive()
    }
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

fn find(db: &Connection, hash: &Hash) -> rusqlite::Result<Option<UserId>> {
    db.prepare_cached(
        "-- tokens::find
        SELECT user FROM tokens WHERE hash = ?1",
    )?
    .query_one([hash], |row| row.get::<_, String>(0).map(UserId::new))
    .optional()
}

fn has_token(db: &Connection, user: &UserId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "-- tokens::has_token
        SELECT EXISTS (SELECT 1 FROM tokens WHERE user = ?1)",
    )?
    .query_one([user.as_str()], |row| row.get(0))
}

fn list(db: &Connection) -> rusqlite::Result<Vec<TokenInfo>> {
    db.prepare_cached(
        "-- tokens::list
        SELECT id, user, created_at FROM tokens ORDER BY id",
    )?
    .query_map([], one)?
    .collect()
}

fn one(row: &Row<'_>) -> rusqlite::Result<TokenInfo> {
    Ok(TokenInfo {
        id: Ulid::from_bytes(row.get(0)?).to_string(),
        user: UserId::new(row.get::<_, String>(1)?),
        created_at: Timestamp::from_millis(row.get(2)?),
    })
}

#[cfg(test)]
mod tests;
