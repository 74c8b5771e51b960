//! Reading, moving and writing a session, again and again until nobody was faster.

use std::time::Duration;

use domain::{
    SessionId,
    command::Concurrency,
    job::Outcome,
    message::Message,
    ports::{BackendError, Expect, Version, Versioned, Write},
    session::{Event, Session, Transition, TransitionError, Waiter, Waits},
    timeline::Actor,
};
use serde::Deserialize;

use crate::{
    Code, Env, HandlerError, notification,
    outbox::{Batch, settle},
};

/// How often a session is read anew when others are faster.
const ROUNDS: u32 = 16;

/// A session that is read anew in each round, until one comes to a result.
pub(crate) struct RetryOnConflict<'a> {
    env: &'a Env,
    id: SessionId,
    left: u32,
}

impl<'a> RetryOnConflict<'a> {
    pub(crate) const fn of(env: &'a Env, id: SessionId) -> Self {
        Self { env, id, left: ROUNDS }
    }

    /// Begins a round with the session as it is now.
    pub(crate) async fn next(&mut self) -> Result<Versioned<Session>, HandlerError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(HandlerError::new(Code::Conflict, "the session changed again and again"));
        };
        self.left = left;
        read(self.env, self.id).await
    }
}

/// What came of an event.
#[derive(Debug)]
pub(crate) enum Applied {
    /// The session moved.
    Changed(Session),
    /// The event has no meaning in this state, most often because it came before.
    Unchanged(Session),
}

impl Applied {
    pub(crate) fn into_session(self) -> Session {
        match self {
            Self::Changed(session) | Self::Unchanged(session) => session,
        }
    }
}

/// Reads a session that must exist.
pub(crate) async fn read(env: &Env, id: SessionId) -> Result<Versioned<Session>, HandlerError> {
    let read = env.store.session(id).await?;
    read.ok_or_else(|| HandlerError::new(Code::BadInput, "there is no such session"))
}

/// Applies these events one after the other, in one transaction.
pub(crate) async fn apply(
    env: &Env,
    id: SessionId,
    actor: Actor,
    events: &[Event],
) -> Result<Applied, HandlerError> {
    let mut rounds = RetryOnConflict::of(env, id);
    loop {
        let Versioned { value, version } = rounds.next().await?;
        let moved = match advance(env, value, actor, events) {
            Ok(moved) => moved,
            Err(TransitionError { session }) => return Ok(Applied::Unchanged(*session)),
        };
        if write(env, &moved, version).await? {
            return Ok(Applied::Changed(moved.session));
        }
    }
}

/// Applies what fits of these events; rejected if none does.
fn advance(
    env: &Env,
    session: Session,
    actor: Actor,
    events: &[Event],
) -> Result<Transition, TransitionError> {
    let mut moved = Transition { session, entries: Vec::new() };
    for event in events {
        match moved.session.on(event.clone(), env.stamp(actor)) {
            Ok(next) => {
                moved.session = next.session;
                moved.entries.extend(next.entries);
            }
            Err(TransitionError { session }) => moved.session = *session,
        }
    }
    if moved.entries.is_empty() {
        return Err(TransitionError { session: Box::new(moved.session) });
    }
    Ok(moved)
}

/// Writes a transition, unless somebody else was faster. A session that became ready completes its
/// start job with it.
pub(crate) async fn write(
    env: &Env,
    moved: &Transition,
    read: Version,
) -> Result<bool, HandlerError> {
    let batch = Batch::default().moved(env, moved, Expect::At(read));
    with_ready(env, batch, moved).await?.put(env).await
}

/// Adds the completion of the start job where this transition made the session ready.
pub(crate) async fn with_ready(
    env: &Env,
    batch: Batch,
    moved: &Transition,
) -> Result<Batch, BackendError> {
    let session = &moved.session;
    if !matches!(session, Session::Ready(_)) {
        return Ok(batch);
    }
    let done = Outcome::Completed { exit: None, failure: None };
    settle(env, batch, session, session.start_job(), done).await
}

/// Whether a session has commands that are not over.
pub(crate) async fn has_open_jobs(env: &Env, id: SessionId) -> Result<bool, HandlerError> {
    for concurrency in Concurrency::ALL {
        if !env.store.open_jobs(id, concurrency, 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Has the jobs of a session looked at that has just become ready.
pub(crate) async fn start_jobs(env: &Env, session: &Session) -> Result<(), HandlerError> {
    let id = session.id();
    if has_open_jobs(env, id).await? || session.common().drain.is_some() {
        notification::send(env, Message::RunJob { session: id }, Duration::ZERO).await;
    }
    Ok(())
}

/// Puts a record back that changed without a transition. False if somebody else was faster: it is
/// looked at already, which is just as well.
pub(crate) async fn put(env: &Env, session: Session, read: Version) -> Result<bool, HandlerError> {
    let write = Write::Session(Box::new(session), Expect::At(read));
    Batch::default().write(write).put(env).await
}

/// The input of a task that waits.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Waiting {
    pub(crate) session_id: SessionId,
    pub(crate) token: domain::Secret<String>,
    /// What the execution's own timer is set to; absent where that is fixed.
    pub(crate) wait_seconds: Option<u64>,
}

/// Answers the token at once if the fact is there, else hangs it up on the record. The write is
/// conditional, so a fact that comes in between is seen in the next round.
pub(crate) async fn wait(
    env: &Env,
    input: Waiting,
    waits: Waits,
    limit: Duration,
    look_after: Duration,
) -> Result<(), HandlerError> {
    let mut rounds = RetryOnConflict::of(env, input.session_id);
    loop {
        let Versioned { value: session, version } = rounds.next().await?;
        let now = env.now();
        let until = now + input.wait_seconds.map_or(limit, Duration::from_secs);
        if notification::is_over(waits, until, &session, now) {
            notification::answer_token(env, &input.token, &session).await?;
            return Ok(());
        }
        let waiter = Waiter { token: input.token.clone(), waits, until };
        let look_at = until.min(now + look_after);
        if put(env, session.register_waiter(waiter, look_at), version).await? {
            return Ok(());
        }
    }
}
