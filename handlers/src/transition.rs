//! Reads a session, changes it and writes it, and repeats that when another writer was faster.

use domain::{
    SessionId,
    job::Outcome,
    ports::{BackendError, Expect, Version, Versioned, Write},
    session::{Event, Session, Transition, TransitionError},
    timeline::Actor,
};

use crate::{
    Code, Env, HandlerError,
    outbox::{Batch, finish_job},
};

/// How often a session is read again when other writers are faster.
const ATTEMPTS: u32 = 16;

/// Reads a session again for each attempt to change it, up to a limit.
pub(crate) struct RetryOnConflict<'a> {
    env: &'a Env,
    id: SessionId,
    attempts_left: u32,
}

impl<'a> RetryOnConflict<'a> {
    pub(crate) const fn of(env: &'a Env, id: SessionId) -> Self {
        Self { env, id, attempts_left: ATTEMPTS }
    }

    /// Begins an attempt with the session as it is now. Fails with [`Code::Conflict`] when no attempt
    /// is left.
    pub(crate) async fn next(&mut self) -> Result<Versioned<Session>, HandlerError> {
        let Some(left) = self.attempts_left.checked_sub(1) else {
            let message =
                format!("session {} was modified concurrently {ATTEMPTS} times; retry", self.id);
            return Err(HandlerError::new(Code::Conflict, message));
        };
        self.attempts_left = left;
        read(self.env, self.id).await
    }
}

/// Whether events changed a session.
#[derive(Debug)]
pub(crate) enum Applied {
    /// At least one event was applied.
    Changed(Session),
    /// No event has a meaning in this state, most often because the session knows them already.
    Unchanged(Session),
}

impl Applied {
    pub(crate) fn into_session(self) -> Session {
        match self {
            Self::Changed(session) | Self::Unchanged(session) => session,
        }
    }
}

/// Reads a session that must exist. Fails with [`Code::BadInput`] if it does not.
pub(crate) async fn read(env: &Env, id: SessionId) -> Result<Versioned<Session>, HandlerError> {
    let read = env.store.session(id).await?;
    read.ok_or_else(|| unknown(id))
}

/// Reads a session that must exist, and whether it has unfinished commands. Fails with [`Code::BadInput`] if the
/// session does not exist.
pub(crate) async fn read_with_open_jobs(
    env: &Env,
    id: SessionId,
) -> Result<(Session, bool), HandlerError> {
    let read = env.store.session_with_open_jobs(id).await?;
    let (session, has_open) = read.ok_or_else(|| unknown(id))?;
    Ok((session.value, has_open))
}

fn unknown(id: SessionId) -> HandlerError {
    HandlerError::new(Code::BadInput, format!("session {id} does not exist"))
}

/// Applies these events one after the other, in one transaction. An event that has no meaning in the
/// state of the session is left out.
pub(crate) async fn apply(
    env: &Env,
    id: SessionId,
    actor: Actor,
    events: &[Event],
) -> Result<Applied, HandlerError> {
    let mut retry = RetryOnConflict::of(env, id);
    loop {
        let Versioned { value, version } = retry.next().await?;
        let transition = match advance(env, value, actor, events) {
            Ok(transition) => transition,
            Err(TransitionError { session }) => return Ok(Applied::Unchanged(*session)),
        };
        if write(env, &transition, version).await? {
            return Ok(Applied::Changed(transition.session));
        }
    }
}

/// The transition that these events make together. Fails if none of them has a meaning.
fn advance(
    env: &Env,
    session: Session,
    actor: Actor,
    events: &[Event],
) -> Result<Transition, TransitionError> {
    let mut transition = Transition { session, entries: Vec::new() };
    for event in events {
        match transition.session.on(event.clone(), env.stamp(actor)) {
            Ok(next) => {
                transition.session = next.session;
                transition.entries.extend(next.entries);
            }
            Err(TransitionError { session }) => transition.session = *session,
        }
    }
    if transition.entries.is_empty() {
        return Err(TransitionError { session: Box::new(transition.session) });
    }
    Ok(transition)
}

/// Writes a transition. Returns false if the session is not at the version that was read.
pub(crate) async fn write(
    env: &Env,
    transition: &Transition,
    read: Version,
) -> Result<bool, HandlerError> {
    let batch = Batch::default().transition(env, transition, Expect::At(read));
    complete_start(env, batch, transition).await?.put(env).await
}

/// Adds the completion of the start job, if this transition made the session ready.
pub(crate) async fn complete_start(
    env: &Env,
    batch: Batch,
    transition: &Transition,
) -> Result<Batch, BackendError> {
    let session = &transition.session;
    if !matches!(session, Session::Ready(_)) {
        return Ok(batch);
    }
    let outcome = Outcome::Completed { exit: None, failure: None };
    finish_job(env, batch, session, session.start_job(), outcome).await
}

/// Writes a session that changed without a transition. Returns false if the session is not at the
/// version that was read.
pub(crate) async fn put(env: &Env, session: Session, read: Version) -> Result<bool, HandlerError> {
    let write = Write::Session(Box::new(session), Expect::At(read));
    Batch::default().write(write).put(env).await
}
