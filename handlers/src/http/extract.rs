//! What a request says outside of its body: the caller, the id in the path, the query.

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::request::Parts,
};
use domain::{UserId, file::FilePath, id::ParseIdError};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::Value;

use super::{
    problem::{Code, InputError, Problem},
    rule::{FieldError, Recorder, Rule, string},
};

/// The user who calls, as the token says. The server inserts it into the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub UserId);

/// Tokens can't be verified at present. The server inserts this in place of a [`Caller`]; the routes
/// that need a caller answer 503.
#[derive(Debug, Clone, Copy)]
pub struct Unidentifiable;

/// The caller makes as many requests at once as this server allows. The server inserts this beside a
/// [`Caller`]; every route answers 429.
#[derive(Debug, Clone, Copy)]
pub struct TooManyRequests;

/// The caller, on routes that need one.
#[derive(Debug)]
pub(super) struct User(pub(super) UserId);

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if let Some(Caller(user)) = parts.extensions.get() {
            return Ok(Self(user.clone()));
        }
        Err(match parts.extensions.get() {
            Some(Unidentifiable) => {
                Problem::new(Code::Unavailable, "tokens can't be verified at present; retry")
            }
            None => Problem::new(Code::Unauthenticated, "send Authorization: Bearer <token>"),
        })
    }
}

/// The id in the path, on routes that need a caller. An id that can't be parsed names no object.
#[derive(Debug)]
pub(super) struct Id<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr<Err = ParseIdError>> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        User::from_request_parts(parts, state).await?;
        // Bytes that are not UTF-8 are no id either.
        let text = Path::<String>::from_request_parts(parts, state).await;
        let text = text.map_or_else(|_| String::new(), |Path(text)| text);
        parse_id(&text).map(Self)
    }
}

/// The id that a request names.
///
/// # Errors
/// The text is not an id of this kind, so it names nothing.
pub(super) fn parse_id<T: FromStr<Err = ParseIdError>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::invalid_id(text, error))
}

/// The parameters of the query. Each is taken by its rule, which gets the text as a string; a
/// parameter that is left over is unknown.
#[derive(Debug, Default)]
pub(super) struct Params {
    query: String,
    pairs: Vec<(String, String)>,
    errors: Vec<InputError>,
    recorder: Recorder,
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::new(Code::InvalidRequest, "the query can't be decoded"))?;
        let query = parts.uri.query().unwrap_or_default().to_owned();
        Ok(Self { query, pairs, ..Self::default() })
    }
}

impl Params {
    /// Reads the parameters, and refuses the request if one of them is wrong or unknown.
    pub(super) fn read<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> Result<T, Problem> {
        let query = read(&mut self);
        let unknown = self
            .pairs
            .iter()
            .map(|(name, _)| InputError::in_query(name, FieldError::new("is unknown")));
        self.errors.extend(unknown);
        if self.errors.is_empty() { Ok(query) } else { Err(Problem::invalid(self.errors)) }
    }

    /// Refuses a query that is not empty.
    pub(super) fn read_none(self) -> Result<(), Problem> {
        self.read(|_| ())
    }

    /// A parameter that may be absent. An empty value counts as absent.
    pub(super) fn optional<T, F>(&mut self, name: &str, rule: Rule<F>) -> Option<T>
    where
        F: FnOnce(Value) -> Result<T, FieldError>,
    {
        self.recorder.add(name, &rule.schema);
        let mut values = self.pairs.extract_if(.., |(key, _)| key == name);
        let (_, value) = values.next()?;
        let repeated = values.next().is_some();
        drop(values);
        if !repeated && value.is_empty() {
            return None;
        }
        let result = if repeated {
            Err(FieldError::new("is given more than once"))
        } else {
            (rule.read)(Value::String(value))
        };
        result.map_err(|error| self.errors.push(InputError::in_query(name, error))).ok()
    }

    /// The bytes of a path, which must be there; the rule has its schema only.
    pub(super) fn path(&mut self, name: &str, rule: Rule<()>) -> Option<FilePath> {
        self.recorder.require(name);
        let given = Rule { read: string, schema: rule.schema };
        let errors = self.errors.len();
        if self.optional(name, given).is_none() && self.errors.len() == errors {
            self.errors.push(InputError::in_query(name, FieldError::new("is missing")));
        }
        // The pairs hold text, which has lost the bytes that are not UTF-8.
        let mut pairs =
            self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let (_, value) = pairs.find(|(key, _)| decode(key) == name.as_bytes())?;
        Some(FilePath(decode(value)))
    }

    /// A parameter that has this value where it is absent.
    pub(super) fn with_default<T, F>(&mut self, name: &str, rule: Rule<F>, default: T) -> T
    where
        T: Serialize,
        F: FnOnce(Value) -> Result<T, FieldError>,
    {
        self.optional(name, rule.with("default", &default)).unwrap_or(default)
    }

    /// The parameters that `read` takes, for the API document.
    #[cfg(test)]
    pub(super) fn recorded<T>(read: impl FnOnce(&mut Self) -> T) -> Recorder {
        let mut params =
            Self { recorder: Recorder { active: true, ..Recorder::default() }, ..Self::default() };
        read(&mut params);
        params.recorder
    }
}

/// The bytes of a part of a query.
fn decode(text: &str) -> Vec<u8> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).collect()
}
