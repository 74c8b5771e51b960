//! POST requests with idempotency keys. The response to an accepted request is stored for its key in
//! the commit that accepts the request, so a repeated request gets the same response and does nothing.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{
        HeaderMap,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName},
    },
    response::{IntoResponse, Response},
};
use domain::{
    Secret, SessionId, UserId,
    job::Job,
    message::Message,
    ports::{CommitError, IdempotentResponse, Write},
};
use sha2::{Digest, Sha256};

use super::{
    BODY_LIMIT,
    extract::User,
    fields::{self, Fields},
    problem::{Code, InputError, Problem},
    reply::Reply,
};
use crate::{Env, notification, outbox::Batch, view};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// How long a response can be replayed.
const REPLAY_WINDOW: Duration = Duration::from_hours(24);
/// How much a request stores beside its body, at most. Bytes.
const OVERHEAD: u64 = 4096;
/// How many times a request is planned when concurrent requests change its records.
const MAX_ATTEMPTS: u32 = 8;

/// A POST with its whole body.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) user: UserId,
    body: Secret<Bytes>,
    key: Option<Key>,
}

#[derive(Debug)]
struct Key {
    text: String,
    fingerprint: String,
}

/// What a request leads to. All of it is written, or nothing is.
pub(super) struct Plan {
    /// The session whose records change.
    pub(super) session: SessionId,
    /// Whether the request is accepted even if nothing more may be stored: it ends something. Its
    /// response is not kept for the idempotency key then, and a repetition has the same effect again.
    pub(super) essential: bool,
    /// What to write; nothing where no record changes.
    pub(super) batch: Option<Batch>,
    /// Messages to send after the commit. If one is lost, the sweep finds the record when it is due.
    pub(super) notifications: Vec<Message>,
    pub(super) reply: Reply,
}

/// Commits a request's plan. After a conflict the caller plans again on fresh records, at most
/// [`MAX_ATTEMPTS`] times in all.
pub(super) struct RetryOnConflict<'a> {
    post: &'a Post,
    env: &'a Env,
    attempts_left: u32,
    last_error: Option<CommitError>,
}

impl Post {
    /// A request of this user without a body and a key, which is accepted as a POST is.
    pub(super) fn without_body(user: UserId) -> Self {
        Self { user, body: Secret::default(), key: None }
    }

    /// Reads the body as an object; see [`fields::read_object`].
    pub(super) fn read_body<T>(
        &self,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Result<T, Problem> {
        fields::read_object(self.body.expose(), read)
    }

    /// Reads a body that must be empty or `{}`.
    pub(super) fn read_empty_body(&self) -> Result<(), Problem> {
        self.read_body(|_| Some(()))
    }

    pub(super) const fn retry_on_conflict<'a>(&'a self, env: &'a Env) -> RetryOnConflict<'a> {
        RetryOnConflict { post: self, env, attempts_left: MAX_ATTEMPTS, last_error: None }
    }

    async fn commit(&self, env: &Env, plan: &Plan) -> Result<(), CommitError> {
        if plan.batch.is_none() && self.key.is_none() {
            return Ok(());
        }
        let batch = plan.batch.clone().unwrap_or_default();
        match self.stored(env, plan, batch.clone()).commit(env).await {
            Err(CommitError::StorageExceeded | CommitError::DiskFull) if plan.essential => {
                batch.commit(env).await
            }
            result => result,
        }
    }

    /// The writes with the response to keep, on condition that there is room for them.
    fn stored(&self, env: &Env, plan: &Plan, mut batch: Batch) -> Batch {
        if let Some(key) = &self.key {
            let (now, reply) = (env.now(), &plan.reply);
            let response = IdempotentResponse {
                user: self.user.clone(),
                key: key.text.clone(),
                fingerprint: key.fingerprint.clone(),
                status: reply.status.as_u16(),
                location: reply.location.clone(),
                body: Secret::new(reply.body.clone()),
                created_at: now,
                expires_at: now + REPLAY_WINDOW,
            };
            batch = batch.write(Write::IdempotentResponse(Box::new(response)));
        }
        let Some(limits) = env.policy.storage else { return batch };
        batch.write(Write::RequireStorage {
            user: self.user.clone(),
            session: plan.session,
            bytes: self.size() + OVERHEAD,
            limits,
        })
    }

    /// The size of the body. Bytes.
    pub(super) fn size(&self) -> u64 {
        self.body.expose().len() as u64
    }

    /// The stored response of an earlier request with this key.
    async fn replay(&self, env: &Env) -> Result<Option<Response>, Problem> {
        let Some(key) = &self.key else { return Ok(None) };
        let Some(stored) = env.store.answer(&self.user, &key.text, env.now()).await? else {
            return Ok(None);
        };
        if stored.fingerprint == key.fingerprint {
            return Ok(Some(Reply::replay(stored)));
        }
        let detail = "another request used this Idempotency-Key in the last 24 hours; \
                      send this request with a new key";
        Err(Problem::new(Code::IdempotencyMismatch, detail))
    }

    async fn read(request: Request) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let User(user) = User::from_request_parts(&mut parts, &()).await?;
        let key = key(&parts.headers)?;
        if is_encoded(&parts.headers) {
            let detail = "send the body without a Content-Encoding";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
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
    /// Why the previous plan was not written.
    pub(super) const fn last_error(&self) -> Option<&CommitError> {
        self.last_error.as_ref()
    }

    /// Commits a plan, sends its notifications and responds. `None`: a concurrent request changed the
    /// records, so the caller must read them and plan again.
    pub(super) async fn commit(&mut self, plan: Plan) -> Result<Option<Response>, Problem> {
        self.commit_then(plan, Vec::new).await
    }

    /// Responds with a job that the request does not change in the records.
    pub(super) async fn accept_unchanged(
        &mut self,
        job: &Job,
    ) -> Result<Option<Response>, Problem> {
        let reply = Reply::accepted(job.id(), &view::job(job));
        let session = job.common().session;
        let plan = Plan { session, essential: true, batch: None, notifications: Vec::new(), reply };
        self.commit(plan).await
    }

    /// Commits a plan like [`Self::commit`], and then also sends the messages that `written` returns. It is not called if the
    /// plan was not written, also if the response is that of an earlier request with the same key.
    pub(super) async fn commit_then(
        &mut self,
        plan: Plan,
        written: impl FnOnce() -> Vec<Message>,
    ) -> Result<Option<Response>, Problem> {
        match self.post.commit(self.env, &plan).await {
            Ok(()) => {
                for message in plan.notifications.into_iter().chain(written()) {
                    notification::send(self.env, message, Duration::ZERO).await;
                }
                return Ok(Some(plan.reply.into_response()));
            }
            Err(error @ CommitError::Backend(_)) => return Err(error.into()),
            Err(error) => {
                // The same request at the same time may be the reason, for example if it took the last slot.
                if let Some(response) = self.post.replay(self.env).await? {
                    return Ok(Some(response));
                }
                if !may_plan_again(&error) {
                    return Err(error.into());
                }
                self.last_error = Some(error);
            }
        }
        self.attempts_left -= 1;
        match self.last_error.take_if(|_| self.attempts_left == 0) {
            Some(error) => Err(error.into()),
            None => Ok(None),
        }
    }
}

/// Whether another plan for the same request may be written.
const fn may_plan_again(error: &CommitError) -> bool {
    matches!(
        error,
        CommitError::AlreadyAnswered
            | CommitError::Conflict
            | CommitError::QuotaReached
            | CommitError::NoCapacity
            | CommitError::TooManyRunning
            | CommitError::Closed
    )
}

impl FromRequest<Env> for Post {
    /// A problem, or the stored response of an earlier request with the same key.
    type Rejection = Response;

    async fn from_request(request: Request, env: &Env) -> Result<Self, Response> {
        let post = Self::read(request).await.map_err(IntoResponse::into_response)?;
        match post.replay(env).await {
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
        _ => {
            let detail = "must be given once, as 1 to 255 visible ASCII characters";
            Err(Problem::invalid(vec![InputError::in_header("Idempotency-Key", detail)]))
        }
    }
}

/// The length of the body in bytes, if the request announces it.
fn announced_length(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    // A length beyond the range of numbers is beyond every limit.
    Some(length.parse().unwrap_or(usize::MAX))
}

/// Whether the body has an encoding other than `identity`, which is none.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(CONTENT_ENCODING).iter();
    given.any(|value| {
        let codings = value.to_str().unwrap_or("?").split(',').map(str::trim);
        codings.into_iter().any(|one| !one.is_empty() && !one.eq_ignore_ascii_case("identity"))
    })
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
        Problem::new(Code::PayloadTooLarge, "the body must not exceed 256 KiB")
    } else {
        Problem::new(Code::InvalidRequest, "the body ended early; send the request again")
    }
}
