//! Follows one command to its end.

use std::{io, sync::Arc};

use async_trait::async_trait;
use domain::{
    TaskId, Timestamp,
    ports::{Attached, BackendError, CommandEnd, CommandEvent, EndCause, ShellError},
};
use runner::protocol::{Event, Request};

use super::{
    Dial,
    connection::{Connection, ConnectionError},
    end,
    pool::{ConnectionPool, Sent, unexpected},
};

/// Reads the events of one command from the connection on which its start was sent.
pub(crate) struct Follower<D> {
    pool: Arc<ConnectionPool<D>>,
    task: TaskId,
    /// None once the command's end was read.
    connection: Option<Connection>,
    /// An event that was read before the first call of `next`.
    first: Option<Event>,
    /// Whether the runner has answered the start.
    answered: bool,
    /// Whether another connection has carried the start before.
    again: bool,
    /// The task's memory kills before the command was started or attached to.
    memory_kills: u64,
}

impl<D: Dial> Follower<D> {
    pub(crate) async fn start(
        pool: &Arc<ConnectionPool<D>>,
        task: &TaskId,
        start: &Request,
    ) -> Result<Self, ShellError> {
        let memory_kills = pool.dial.memory_kills(task);
        let Sent { connection, first, again } = pool.send(task, start).await.map_err(|failed| {
            if failed.unread { not_started(failed.error) } else { failed.error }
        })?;
        let (pool, task, answered) = (Arc::clone(pool), task.clone(), first.is_some());
        let connection = Some(connection);
        Ok(Self { pool, task, connection, first, answered, again, memory_kills })
    }

    async fn receive(&mut self) -> Result<Event, ConnectionError> {
        match (self.first.take(), &mut self.connection) {
            (Some(first), _) => Ok(first),
            (None, Some(connection)) => connection.receive().await,
            (None, None) => Err(ConnectionError::Closed(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn command_event(&mut self, event: Event) -> Result<CommandEvent, ShellError> {
        Ok(match event {
            Event::Started => CommandEvent::Started,
            Event::Output(output) => CommandEvent::Output {
                stream: end::stream(output.stream),
                offset: output.offset,
                bytes: output.bytes,
            },
            Event::Exited(exit) => {
                self.give_back();
                let killed = || self.pool.dial.memory_kills(&self.task) > self.memory_kills;
                CommandEvent::Ended(end::command_end(exit, killed))
            }
            // The runner will never run this command.
            Event::Error { message, retryable: false } => {
                self.give_back();
                let cause = EndCause::SpawnFailed(message);
                CommandEvent::Ended(CommandEnd::without_output(cause, None))
            }
            Event::Error { message, retryable: true } => {
                self.give_back();
                if self.again {
                    return Err(BackendError::new("starting a command", message).into());
                }
                if self.pool.refused_starts.may_log(&self.task, self.pool.clock.now()) {
                    tracing::warn!(task.id = %self.task, message, "a shell can't start a command now");
                }
                return Err(ShellError::NotStarted { gone: false });
            }
            other @ (Event::Ready { .. } | Event::Unknown | Event::Ok) => {
                return Err(unexpected("following a command", &other));
            }
        })
    }

    fn give_back(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(&self.task, connection);
        }
    }
}

#[async_trait]
impl<D: Dial> Attached for Follower<D> {
    async fn next(&mut self, until: Timestamp) -> Result<Option<CommandEvent>, ShellError> {
        let timeout = until.since(self.pool.clock.now());
        let Ok(received) = tokio::time::timeout(timeout, self.receive()).await else {
            return Ok(None);
        };
        match received {
            Ok(event) => {
                self.answered = true;
                self.command_event(event).map(Some)
            }
            Err(error) => {
                let unread = !self.answered && !self.again && self.pool.proves_unread(&error);
                let error = self.pool.shell_error(error, &self.task).await;
                Err(if unread { not_started(error) } else { error })
            }
        }
    }
}

/// The error of a start that the runner has certainly not received.
fn not_started(error: ShellError) -> ShellError {
    match error {
        ShellError::NotReady => ShellError::NotStarted { gone: false },
        ShellError::Gone => ShellError::NotStarted { gone: true },
        error @ (ShellError::NotStarted { .. } | ShellError::Backend(_)) => error,
    }
}
