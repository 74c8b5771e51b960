//! How an archive is compressed on its way: the headers of RFC 9110, 8.4 and 12.5.3.

use axum::{
    http::{
        HeaderMap,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING},
    },
    response::Response,
};

use super::with_header;
use crate::{
    Env,
    http::problem::{Code, Problem},
};

/// The largest weight of an encoding in `Accept-Encoding`: 1 in thousandths.
const MAX_WEIGHT: u16 = 1000;

/// An encoding of an archive. In the order in which those of the same weight are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// The encodings of this deployment.
    fn offered(env: &Env) -> &'static [Self] {
        if env.zstd.is_some() {
            &[Self::Zstd, Self::Gzip, Self::Identity]
        } else {
            &[Self::Gzip, Self::Identity]
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The value of `Content-Encoding`, if the response needs it.
    pub(super) fn content_encoding(self) -> Option<&'static str> {
        (self != Self::Identity).then(|| self.name())
    }

    /// How the body of a request is compressed.
    ///
    /// # Errors
    /// This deployment can't decompress it.
    pub(super) fn of_body(env: &Env, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(Self::Identity) };
        let is_sent = |each: &&Self| {
            value.to_str().is_ok_and(|value| value.trim().eq_ignore_ascii_case(each.name()))
        };
        let sent = Self::offered(env).iter().find(is_sent).filter(|_| values.next().is_none());
        sent.copied().ok_or_else(|| {
            let detail = format!("the Content-Encoding of an archive can be one of {}", names(env));
            Problem::new(Code::UnsupportedMediaType, detail)
        })
    }

    /// How the response is compressed: as the request prefers it by its weights. A request that names no
    /// encoding gets none, also with `*`. One that permits none of what is there gets that too.
    pub(super) fn of_response(env: &Env, headers: &HeaderMap) -> Self {
        let accepted = accepted(headers);
        let weight =
            |name| accepted.iter().find(|(each, _)| *each == name).map(|(_, weight)| *weight);
        let others = weight("*");
        // Unless it is named, no encoding is the last choice, but it is one.
        let identity = weight("identity").or(others.map(|others| others.min(1))).unwrap_or(1);
        let weighted = Self::offered(env).iter().map(|each| match each {
            Self::Identity => (identity, *each),
            Self::Gzip | Self::Zstd => {
                // `*` stands for these only if the bytes as they are would not do.
                let named = weight(each.name());
                (named.or(others.filter(|_| identity == 0)).unwrap_or(0), *each)
            }
        });
        weighted.max().filter(|(weight, _)| *weight > 0).map_or(Self::Identity, |(_, each)| each)
    }
}

/// The response to an archive that this deployment can't decompress.
pub(super) fn unsupported(env: &Env, problem: Problem) -> Response {
    with_header(problem, ACCEPT_ENCODING, &names(env))
}

fn names(env: &Env) -> String {
    let names: Vec<_> = Encoding::offered(env).iter().map(|each| each.name()).collect();
    names.join(", ")
}

/// The encodings that a request lists, in small letters, with their weights in thousandths. What is not
/// understood is left out.
fn accepted(headers: &HeaderMap) -> Vec<(String, u16)> {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let listed = values.flat_map(|value| value.split(','));
    listed
        .filter_map(|text| {
            let (name, weight) = text.split_once(';').unwrap_or((text, "q=1"));
            let name = name.trim().to_ascii_lowercase();
            Some((name, parse_weight(weight.trim())?))
        })
        .collect()
}

/// The weight of `q=0.5`, in thousandths.
fn parse_weight(text: &str) -> Option<u16> {
    let number = text.strip_prefix("q=").or_else(|| text.strip_prefix("Q="))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_valid = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: u16 = format!("{fraction:0<3}").parse().ok().filter(|_| is_valid)?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(MAX_WEIGHT),
        _ => None,
    }
}
