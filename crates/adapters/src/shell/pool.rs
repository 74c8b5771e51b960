//! Requests to runners, over new and over idle connections.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use domain::{
    TaskId, Timestamp,
    ports::{BackendError, Clock, ShellError},
};
use parking_lot::Mutex;
use runner::protocol::{Event, Request};

use super::{
    Dial,
    connection::{Connection, ConnectionError},
};
use crate::LogLimit;

/// How long a runner may take to answer a request; the progress of a command is no answer. The runner
/// is idle but for its commands, so the time allows for a slow machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A request was sent.
pub(crate) struct Sent {
    pub(crate) connection: Connection,
    /// The first event, if it was read already.
    pub(crate) first: Option<Event>,
    /// Whether the request was sent before, on an idle connection that did not answer. The runner may
    /// receive that one at any time.
    pub(crate) again: bool,
}

/// A request was not answered.
pub(crate) struct SendError {
    pub(crate) error: ShellError,
    /// Whether the runner has certainly not received the request.
    pub(crate) unread: bool,
}

/// How long idle connections may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The connections to the runners of all tasks.
pub(crate) struct ConnectionPool<D> {
    pub(crate) dial: D,
    pub(crate) clock: Arc<dyn Clock>,
    /// Connections on which all requests were answered; the last of each list was used last.
    idle: Mutex<HashMap<TaskId, Vec<Idle>>>,
    /// Limits what is logged about commands that a runner can't start now.
    pub(crate) refused_starts: LogLimit<TaskId>,
}

struct Idle {
    connection: Connection,
    until: Timestamp,
}

impl<D: Dial> ConnectionPool<D> {
    pub(crate) fn new(dial: D, clock: Arc<dyn Clock>) -> Self {
        Self { dial, clock, idle: Mutex::default(), refused_starts: LogLimit::default() }
    }

    /// Sends a request and returns the connection on which the answer arrives. On an idle connection the first event is always read: such a connection may
    /// be dead without a sign, and then the request is sent again on a new one. A runner accepts any
    /// request twice.
    ///
    /// # Errors
    /// As those of [`ConnectionPool::shell_error`].
    pub(crate) async fn send(&self, task: &TaskId, request: &Request) -> Result<Sent, SendError> {
        let mut unread = true;
        if let Some(mut connection) = self.take_idle(task) {
            let answer = async {
                connection.send(request).await?;
                connection.receive().await
            };
            if let Ok(event) = within_timeout(answer).await {
                return Ok(Sent { connection, first: Some(event), again: false });
            }
            unread = false;
            // The other idle connections to this task have most likely died for the same reason.
            self.idle.lock().remove(task);
        }
        let opened = self.dial.open(task).await;
        let mut connection = Connection::over(opened.map_err(|error| SendError { error, unread })?);
        match within_timeout(connection.send(request)).await {
            Ok(()) => Ok(Sent { connection, first: None, again: !unread }),
            Err(error) => {
                unread &= self.proves_unread(&error);
                Err(SendError { error: self.shell_error(error, task).await, unread })
            }
        }
    }

    /// Sends a request that has one answer, and returns that answer.
    ///
    /// # Errors
    /// As those of [`ConnectionPool::shell_error`].
    pub(crate) async fn request(
        &self,
        task: &TaskId,
        request: &Request,
    ) -> Result<Event, ShellError> {
        let sent = self.send(task, request).await;
        let Sent { mut connection, first, .. } = sent.map_err(|failed| failed.error)?;
        let event = match first {
            Some(event) => event,
            None => match within_timeout(connection.receive()).await {
                Ok(event) => event,
                Err(error) => return Err(self.shell_error(error, task).await),
            },
        };
        self.give_back(task, connection);
        Ok(event)
    }

    /// Whether the runner has certainly not read all of what was sent on a connection that failed so.
    pub(crate) fn proves_unread(&self, error: &ConnectionError) -> bool {
        matches!(error, ConnectionError::Closed(error) if self.dial.proves_unread(error))
    }

    /// The port's error for a failed connection: `Gone` if the task has stopped, `NotReady` if the
    /// connection was refused, closed or silent, else `Backend`.
    pub(crate) async fn shell_error(&self, error: ConnectionError, task: &TaskId) -> ShellError {
        if self.dial.is_gone(task).await {
            return ShellError::Gone;
        }
        match error {
            ConnectionError::Closed(_) => ShellError::NotReady,
            error @ (ConnectionError::Io(_) | ConnectionError::Protocol(_)) => {
                BackendError::new("exchanging messages with a runner", error).into()
            }
        }
    }

    /// Returns a connection on which all requests were answered.
    pub(crate) fn give_back(&self, task: &TaskId, connection: Connection) {
        let keep = self.dial.keep_idle();
        if keep.is_zero() {
            return;
        }
        let now = self.clock.now();
        let mut idle = self.idle.lock();
        idle.retain(|_, connections| {
            connections.retain(|one| one.until > now);
            !connections.is_empty()
        });
        idle.entry(task.clone()).or_default().push(Idle { connection, until: now + keep });
    }

    /// Closes all idle connections, for at most [`CLOSE_TIMEOUT`].
    pub(crate) async fn close_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        let connections = idle.into_values().flatten().map(|idle| idle.connection);
        let closing = futures::future::join_all(connections.map(Connection::close));
        // A connection that fails or does not close in time is dropped, which closes this end.
        let _closed = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }

    fn take_idle(&self, task: &TaskId) -> Option<Connection> {
        let now = self.clock.now();
        let latest = self.idle.lock().get_mut(task)?.pop()?;
        // If the latest one is too old, so are all before it.
        (latest.until > now).then_some(latest.connection)
    }
}

/// Counts a runner that does not answer in time as closed.
async fn within_timeout<T>(
    work: impl Future<Output = Result<T, ConnectionError>>,
) -> Result<T, ConnectionError> {
    tokio::time::timeout(ANSWER_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(ConnectionError::Closed(io::ErrorKind::TimedOut.into())))
}

/// The error for an event that does not answer the request; `action` is what was tried.
pub(crate) fn unexpected(action: &'static str, event: &Event) -> ShellError {
    let name = match event {
        Event::Ready { .. } => "ready, or with another protocol version",
        Event::Started => "started",
        Event::Output(_) => "output",
        Event::Exited(_) => "exited",
        Event::Unknown => "unknown job",
        Event::Ok => "ok",
        Event::Error { message, .. } => return BackendError::new(action, message.clone()).into(),
    };
    BackendError::new(action, format!("unexpected answer of the runner: {name}")).into()
}
