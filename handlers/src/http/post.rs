//! A POST: read once, answered once. The answer to an accepted one is kept for its key, in the very
//! commit that accepts it, so a request that comes again gets the same answer and does nothing.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{
        HeaderMap,
        header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName},
    },
    response::{IntoResponse, Response},
};
use domain::{
    Secret, UserId,
    message::Message,
    ports::{CommitError, IdempotentResponse, Write},
};
use sha2::{Digest, Sha256};

use super::{
    BODY_LIMIT,
    extract::User,
    problem::{At, Code, Fault, Problem},
    reply::Reply,
};
use crate::{Env, notification, outbox::Batch};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEPT: Duration = Duration::from_hours(24);
/// How often a request is decided anew when others were faster.
const TRIES: u32 = 8;

/// A POST with all of its body.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) user: UserId,
    pub(super) body: Secret<Bytes>,
    key: Option<Key>,
}

#[derive(Debug)]
struct Key {
    text: String,
    fingerprint: String,
}

/// What a request leads to. All of it is written, or none.
pub(super) struct Plan {
    /// What to write; nothing for what leaves no record.
    pub(super) batch: Option<Batch>,
    /// What to ring afterwards. A lost one is made good when the record is due.
    pub(super) bells: Vec<Message>,
    pub(super) reply: Reply,
}

/// The tries to write what a request leads to.
pub(super) struct RetryOnConflict<'a> {
    post: &'a Post,
    env: &'a Env,
    left: u32,
    refused: Option<CommitError>,
}

impl Post {
    /// Begins to write what this request leads to.
    pub(super) const fn rounds<'a>(&'a self, env: &'a Env) -> RetryOnConflict<'a> {
        RetryOnConflict { post: self, env, left: TRIES, refused: None }
    }

    async fn write(
        &self,
        env: &Env,
        batch: Option<Batch>,
        reply: &Reply,
    ) -> Result<(), CommitError> {
        let Some(key) = &self.key else {
            return match batch {
                Some(batch) => batch.commit(env).await,
                None => Ok(()),
            };
        };
        let now = env.now();
        let answer = IdempotentResponse {
            user: self.user.clone(),
            key: key.text.clone(),
            fingerprint: key.fingerprint.clone(),
            status: reply.status.as_u16(),
            location: reply.location.clone(),
            body: Secret::new(reply.body.clone()),
            created_at: now,
            expires_at: now + KEPT,
        };
        batch
            .unwrap_or_default()
            .write(Write::IdempotentResponse(Box::new(answer)))
            .commit(env)
            .await
    }

    /// The answer that a request with this key got before.
    async fn kept(&self, env: &Env) -> Result<Option<Response>, Problem> {
        let Some(key) = &self.key else { return Ok(None) };
        let Some(answer) = env.store.answer(&self.user, &key.text, env.now()).await? else {
            return Ok(None);
        };
        if answer.fingerprint == key.fingerprint {
            return Ok(Some(Reply::replay(answer)));
        }
        let detail = "this Idempotency-Key came with another request in the last 24 hours";
        Err(Problem::new(Code::IdempotencyMismatch, detail))
    }

    async fn read(request: Request) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let User(user) = User::from_request_parts(&mut parts, &()).await?;
        let key = key(&parts.headers)?;
        if announced_length(&parts.headers).is_some_and(|length| length > BODY_LIMIT) {
            return Err(unreadable(413));
        }
        let json = is_json(&parts.headers);
        let fingerprint = Sha256::new_with_prefix(parts.method.as_str())
            .chain_update(" ")
            .chain_update(parts.uri.path())
            .chain_update("\n");
        let bytes = Bytes::from_request(Request::from_parts(parts, body), &())
            .await
            .map_err(|rejection| unreadable(rejection.status().as_u16()))?;
        if !bytes.is_empty() && !json {
            let detail = "send the body as Content-Type: application/json";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        let key = key.map(|text| {
            let fingerprint = format!("{:x}", fingerprint.chain_update(&bytes).finalize());
            Key { text, fingerprint }
        });
        Ok(Self { user, body: Secret::new(bytes), key })
    }
}

impl RetryOnConflict<'_> {
    /// Why the last plan was not written.
    pub(super) const fn refused(&self) -> Option<&CommitError> {
        self.refused.as_ref()
    }

    /// Writes a plan, rings and answers. `None`: the records changed meanwhile; plan anew.
    pub(super) async fn write(&mut self, plan: Plan) -> Result<Option<Response>, Problem> {
        match self.post.write(self.env, plan.batch, &plan.reply).await {
            Ok(()) => {
                for message in plan.bells {
                    notification::send(self.env, message, Duration::ZERO).await;
                }
                return Ok(Some(plan.reply.into_response()));
            }
            Err(CommitError::AlreadyAnswered) => {
                if let Some(response) = self.post.kept(self.env).await? {
                    return Ok(Some(response));
                }
                self.refused = Some(CommitError::AlreadyAnswered);
            }
            Err(CommitError::Backend(error)) => return Err(error.into()),
            Err(error) => self.refused = Some(error),
        }
        self.left -= 1;
        match self.refused.take_if(|_| self.left == 0) {
            Some(error) => Err(error.into()),
            None => Ok(None),
        }
    }
}

impl FromRequest<Env> for Post {
    /// A problem, or the answer to the same request before.
    type Rejection = Response;

    async fn from_request(request: Request, env: &Env) -> Result<Self, Response> {
        let post = Self::read(request).await.map_err(IntoResponse::into_response)?;
        match post.kept(env).await {
            Ok(None) => Ok(post),
            Ok(Some(response)) => Err(response),
            Err(problem) => Err(problem.into_response()),
        }
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| {
        (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match (text, given.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => Err(Problem::invalid(vec![Fault {
            at: At::Header("Idempotency-Key"),
            detail: "must be given once, as 1 to 255 visible ASCII characters".into(),
            too_large: false,
        }])),
    }
}

/// The length of the body in bytes, if the request announces it.
fn announced_length(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    // A length beyond the range of numbers is beyond every limit.
    Some(length.parse().unwrap_or(usize::MAX))
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    given.is_some_and(|given| {
        let kind = given.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    })
}

fn unreadable(status: u16) -> Problem {
    if status == 413 {
        Problem::new(Code::PayloadTooLarge, "a body may have 256 KiB")
    } else {
        Problem::new(Code::InvalidRequest, "the body broke off")
    }
}
