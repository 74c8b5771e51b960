//! Tells the task of a session when it must end, so that it ends by itself if nobody stops it.
//!
//! Safe to repeat: it sends the present end of the session's record.

use std::time::Duration;

use domain::{
    SessionId,
    message::Message,
    ports::{ShellError, Versioned},
    session::Session,
};

use crate::{Env, HandlerError, notification};

/// The delay before a runner that does not answer is told again.
const RETRY_DELAY: Duration = Duration::from_secs(5);

pub(crate) async fn handle(env: &Env, id: SessionId) -> Result<(), HandlerError> {
    let Some(Versioned { value, .. }) = env.store.session(id).await? else { return Ok(()) };
    let end = value.common().expires_at;
    // A session that is about to end is stopped; a task that is not ready has its first deadline.
    let Session::Ready(ready) = &value else { return Ok(()) };
    match env.shell.set_deadline(ready.task(), end.since(env.now())).await {
        Ok(()) | Err(ShellError::Gone | ShellError::NotStarted { gone: true }) => Ok(()),
        Err(ShellError::NotReady | ShellError::NotStarted { gone: false }) => {
            notification::send(env, Message::SetDeadline { session: id }, RETRY_DELAY).await;
            Ok(())
        }
        Err(error @ ShellError::Backend(_)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
