//! Writes the files that a start request asks for into its shell, before the session is ready.
//!
//! Safe to repeat: one worker claims the right to write them in the session's record, and the claim lapses only
//! after its time to write is over. So no file is written again when a command may have changed it.

use std::time::Duration;

use domain::{
    SessionId,
    ports::{FilesError, Versioned},
    session::{Event, Reason},
    task::TaskFacts,
};

use crate::{
    Env, HandlerError, task,
    transition::{self, RetryOnConflict},
};

/// How long a claim lasts. [`Shell::write_files`](domain::ports::Shell::write_files) takes at most 30 s.
const CLAIM: Duration = Duration::from_secs(45);

/// Writes the files of a session whose runner answers. The event that the outcome is for the session; none
/// if that is not known yet: then a later probe of the task is scheduled, which leads here again.
pub(crate) async fn write(
    env: &Env,
    id: SessionId,
    facts: &TaskFacts,
) -> Result<Option<Event>, HandlerError> {
    let mut retry = RetryOnConflict::of(env, id);
    let files = loop {
        let Versioned { value: session, version } = retry.next().await?;
        if session.files().is_empty() {
            return Ok(Some(Event::Ready));
        }
        let now = env.now();
        if session.has_claimed_files(now) {
            task::probe_later(env, facts).await;
            return Ok(None);
        }
        let files = session.files().to_vec();
        if transition::put(env, session.claim_files(now + CLAIM), version).await? {
            break files;
        }
    };
    match env.shell.write_files(&facts.task, &files).await {
        Ok(()) => Ok(Some(Event::Ready)),
        Err(FilesError::Refused(_, message)) => {
            Ok(Some(Event::Stop { reason: Reason::FilesRefused, note: Some(message) }))
        }
        Err(FilesError::TooMany | FilesError::Interrupted) => {
            task::probe_later(env, facts).await;
            Ok(None)
        }
        Err(FilesError::Backend(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
