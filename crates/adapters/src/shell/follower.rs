//! Follows one command.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    TaskId, Timestamp,
    job::Usage,
    ports::{Attached, BackendError, CommandEnd, CommandEvent, EndCause, ShellError},
};
use runner::protocol::{Event, Request};

use super::{
    Dial,
    connection::{Broken, Connection},
    end,
    line::{Line, unexpected},
};

/// On the connection that a start was sent on.
pub(crate) struct Follower<D> {
    line: Arc<Line<D>>,
    task: TaskId,
    /// None once the command's end was told.
    connection: Option<Connection>,
    /// Came before anybody asked for it.
    first: Option<Event>,
    /// As it was before the command, or before we took it over.
    memory_kills: u64,
}

impl<D: Dial> Follower<D> {
    pub(crate) async fn start(
        line: &Arc<Line<D>>,
        task: &TaskId,
        start: &Request,
    ) -> Result<Self, ShellError> {
        let memory_kills = line.dial.memory_kills(task);
        let (connection, first) = line.send(task, start).await?;
        let (line, task) = (Arc::clone(line), task.clone());
        Ok(Self { line, task, connection: Some(connection), first, memory_kills })
    }

    async fn receive(&mut self) -> Result<Event, Broken> {
        match (self.first.take(), &mut self.connection) {
            (Some(first), _) => Ok(first),
            (None, Some(connection)) => connection.receive().await,
            (None, None) => Err(Broken::Closed),
        }
    }

    fn told(&mut self, event: Event) -> Result<CommandEvent, ShellError> {
        Ok(match event {
            Event::Started => CommandEvent::Started,
            Event::Output(output) => CommandEvent::Output {
                stream: end::stream(output.stream),
                offset: output.offset,
                bytes: output.bytes,
            },
            Event::Exited(exit) => {
                self.give_back();
                let killed = || self.line.dial.memory_kills(&self.task) > self.memory_kills;
                CommandEvent::Ended(end::command_end(exit, killed))
            }
            // The runner will not run it, now or later.
            Event::Error { message, retryable: false } => {
                self.give_back();
                CommandEvent::Ended(CommandEnd {
                    cause: EndCause::SpawnFailed(message),
                    exit: None,
                    stdout_written: 0,
                    stderr_written: 0,
                    usage: Usage::default(),
                })
            }
            Event::Error { message, retryable: true } => {
                self.give_back();
                return Err(BackendError::new("starting a command", message).into());
            }
            other @ (Event::Ready { .. } | Event::Unknown | Event::Ok) => {
                return Err(unexpected("following a command", &other));
            }
        })
    }

    fn give_back(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.line.give_back(&self.task, connection);
        }
    }
}

#[async_trait]
impl<D: Dial> Attached for Follower<D> {
    async fn next(&mut self, until: Timestamp) -> Result<Option<CommandEvent>, ShellError> {
        let rest = until.since(self.line.clock.now());
        let Ok(received) = tokio::time::timeout(rest, self.receive()).await else {
            return Ok(None);
        };
        match received {
            Ok(event) => self.told(event).map(Some),
            Err(broken) => Err(self.line.meaning(broken, &self.task).await),
        }
    }
}
