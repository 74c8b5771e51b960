//! What a request says outside of its body: who calls, which object, which parameters.

use std::{borrow::Cow, ops::RangeInclusive, str::FromStr};

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::request::Parts,
};
use domain::UserId;

use super::problem::{At, Code, Fault, Problem};

/// Who calls, as the token said. Whoever serves the API inserts it into the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub UserId);

/// Who calls can't be told now; in place of a [`Caller`]. The routes that must know answer 503.
#[derive(Debug, Clone, Copy)]
pub struct Unidentifiable;

/// The caller, who must be known.
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
                Problem::new(Code::Unavailable, "tokens can't be looked up now; try again")
            }
            None => Problem::new(Code::Unauthenticated, "send Authorization: Bearer <token>"),
        })
    }
}

/// The id in the path, for a caller who is known. One that can't be read is one that does not exist.
#[derive(Debug)]
pub(super) struct Id<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        User::from_request_parts(parts, state).await?;
        let text = Path::<String>::from_request_parts(parts, state).await;
        let id = text.ok().and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| Problem::not_found("object"))
    }
}

/// The query's parameters, read strictly: what nobody takes is a fault.
#[derive(Debug)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::new(Code::InvalidRequest, "the query can't be read"))?;
        Ok(Self { pairs, faults: Vec::new() })
    }
}

impl Params {
    /// The parameter of this name. A wrong one leaves a fault.
    pub(super) fn take<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, Cow<'static, str>>,
    ) -> Option<T> {
        let mut values = self.pairs.extract_if(.., |(key, _)| key == name);
        let (_, value) = values.next()?;
        let twice = values.next().is_some();
        drop(values);
        let read = if twice { Err("is given more than once".into()) } else { read(&value) };
        read.map_err(|detail| self.faults.push(fault(name, detail))).ok()
    }

    /// Refuses the request if anything was wrong or is left over.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let rest = self.pairs.into_iter().map(|(name, _)| fault(name, "is unknown".into()));
        self.faults.extend(rest);
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}

/// Reads a whole number within these bounds.
pub(super) fn number(
    range: RangeInclusive<u64>,
) -> impl FnOnce(&str) -> Result<u64, Cow<'static, str>> {
    move |text| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|n| digits && range.contains(n)).ok_or_else(|| {
            format!("must be a whole number from {} to {}", range.start(), range.end()).into()
        })
    }
}

/// The `limit` of a list.
pub(super) fn limit(params: &mut Params, most: u32) -> u32 {
    let limit = params.take("limit", number(1..=u64::from(most)));
    limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(most.min(20))
}

fn fault(name: impl Into<String>, detail: Cow<'static, str>) -> Fault {
    Fault { at: At::Parameter(name.into()), detail, too_large: false }
}
