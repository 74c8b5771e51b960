//! Requests to runners, over new connections and over such as are idle.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    TaskId, Timestamp,
    ports::{BackendError, Clock, ShellError},
};
use runner::protocol::{Event, Request};

use super::{
    Dial,
    connection::{Broken, Connection},
};

/// How long a runner may take to answer anything but a command's progress. It is one process with
/// nothing else to do; the machine may be slow.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The connections to all runners.
pub(crate) struct Line<D> {
    pub(crate) dial: D,
    pub(crate) clock: Arc<dyn Clock>,
    /// Connections with no question open, the latest used last.
    idle: Mutex<HashMap<TaskId, Vec<Idle>>>,
}

struct Idle {
    connection: Connection,
    until: Timestamp,
}

impl<D: Dial> Line<D> {
    pub(crate) fn new(dial: D, clock: Arc<dyn Clock>) -> Self {
        Self { dial, clock, idle: Mutex::default() }
    }

    /// Sends a request and gives the connection that its answer comes on. An idle connection may be
    /// dead without a sign, so there the first event is waited for; a runner takes any request twice.
    pub(crate) async fn send(
        &self,
        task: &TaskId,
        request: &Request,
    ) -> Result<(Connection, Option<Event>), ShellError> {
        if let Some(mut connection) = self.take(task) {
            let sent = async {
                connection.send(request).await?;
                connection.receive().await
            };
            if let Ok(event) = within(sent).await {
                return Ok((connection, Some(event)));
            }
            // What killed one has likely killed the others.
            self.idle().remove(task);
        }
        let mut connection = Connection::over(self.dial.open(task).await?);
        match within(connection.send(request)).await {
            Ok(()) => Ok((connection, None)),
            Err(broken) => Err(self.meaning(broken, task).await),
        }
    }

    /// Sends a request that has one answer.
    pub(crate) async fn answer(
        &self,
        task: &TaskId,
        request: &Request,
    ) -> Result<Event, ShellError> {
        let (mut connection, first) = self.send(task, request).await?;
        let event = match first {
            Some(event) => event,
            None => match within(connection.receive()).await {
                Ok(event) => event,
                Err(broken) => return Err(self.meaning(broken, task).await),
            },
        };
        self.give_back(task, connection);
        Ok(event)
    }

    /// What a broken connection means, given what is known of the task.
    pub(crate) async fn meaning(&self, broken: Broken, task: &TaskId) -> ShellError {
        if self.dial.is_gone(task).await {
            return ShellError::Gone;
        }
        match broken {
            Broken::Closed => ShellError::NotReady,
            Broken::Io(error) => BackendError::new("talking to a runner", error).into(),
            Broken::Protocol(violation) => {
                BackendError::new("talking to a runner", violation).into()
            }
        }
    }

    /// Takes a connection on which everything was answered.
    pub(crate) fn give_back(&self, task: &TaskId, connection: Connection) {
        let keep = self.dial.keep_idle();
        if keep.is_zero() {
            return;
        }
        let now = self.clock.now();
        let mut idle = self.idle();
        idle.retain(|_, kept| {
            kept.retain(|kept| kept.until > now);
            !kept.is_empty()
        });
        idle.entry(task.clone()).or_default().push(Idle { connection, until: now + keep });
    }

    fn take(&self, task: &TaskId) -> Option<Connection> {
        let now = self.clock.now();
        let kept = self.idle().get_mut(task)?.pop()?;
        // Those before it are older.
        (kept.until > now).then_some(kept.connection)
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<TaskId, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runner that does not answer in time counts as one that does not answer yet.
async fn within<T>(work: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
    tokio::time::timeout(ANSWER_WITHIN, work).await.unwrap_or(Err(Broken::Closed))
}

pub(crate) fn unexpected(action: &'static str, event: &Event) -> ShellError {
    let name = match event {
        Event::Ready { .. } => "a runner of another protocol version",
        Event::Started => "a start",
        Event::Output(_) => "output",
        Event::Exited(_) => "an end",
        Event::Unknown => "no knowledge of the job",
        Event::Ok => "a bare consent",
        Event::Error { message, .. } => return BackendError::new(action, message.clone()).into(),
    };
    BackendError::new(action, format!("the runner answered with {name}")).into()
}
