//! Publishes the events of all users, for the operator of this server: to a file, and to an endpoint.
//!
//! Each destination has its position among the events in the database. It moves when the events are on disk
//! there, or accepted by the endpoint, so each event arrives at least once, in order; after a crash the last
//! ones may arrive again, with the same ids.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Secret,
    ports::{BackendError, BoxError, Clock},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::event::PublishedEvent;
use crate::{changes::ChangeListeners, database::Database};

mod endpoint;
mod event;
mod log_file;
mod position;

use endpoint::Endpoint;
use log_file::LogFile;

/// Events read at once.
const BATCH: u32 = 100;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_mins(1);
/// How long a delivery may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a server publishes the events of all users.
#[derive(Debug, Clone, Default)]
pub struct EventsConfig {
    /// The file to which a line of JSON is appended for each event.
    pub log: Option<PathBuf>,
    /// The URL to which each event is posted. Secret, because it may contain a key.
    pub url: Option<Secret<String>>,
}

/// Why events did not arrive. They are sent again.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct DeliverError {
    what: String,
    #[source]
    source: Option<BoxError>,
}

/// A place that events are published to.
#[async_trait]
pub(crate) trait Destination: Send + Sync {
    /// The name of its position in the database.
    fn name(&self) -> &'static str;
    /// Delivers events in order; returns how many of them have arrived for good, and why not more.
    async fn deliver(&mut self, events: &[PublishedEvent]) -> (usize, Result<(), DeliverError>);
}

/// Delivers events to their destinations, in tasks of its own.
#[derive(Debug)]
pub(crate) struct Publisher {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What is common to all destinations.
#[derive(Clone)]
struct Source {
    db: Database,
    listeners: Arc<ChangeListeners>,
    stopped: watch::Receiver<bool>,
}

impl Publisher {
    /// Publishes what happens from now on, or since a destination was left.
    pub(crate) async fn start(
        db: &Database,
        listeners: &Arc<ChangeListeners>,
        destinations: Vec<Box<dyn Destination>>,
    ) -> Result<Self, BackendError> {
        let (stop, stopped) = watch::channel(false);
        let source = Source { db: db.clone(), listeners: Arc::clone(listeners), stopped };
        let mut tasks = JoinSet::new();
        for destination in destinations {
            position::create(db, destination.name()).await?;
            tasks.spawn(source.clone().publish(destination));
        }
        Ok(Self { stop, tasks })
    }

    /// Ends when the deliveries that were begun have ended, or after 2 s.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What did not arrive is delivered by the next server.
        let _timed_out = timeout(STOP_TIMEOUT, all).await;
    }
}

impl Source {
    async fn publish(mut self, mut destination: Box<dyn Destination>) {
        let mut retry = FIRST_RETRY;
        let mut added = self.listeners.all_events();
        while !*self.stopped.borrow() {
            added.mark_unchanged();
            let pause = match self.deliver_next(&mut *destination).await {
                Ok(0) => None,
                Ok(_) => {
                    retry = FIRST_RETRY;
                    continue;
                }
                Err(error) => {
                    let name = destination.name();
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        "failed to publish events to the {name}; trying again in {} s",
                        retry.as_secs()
                    );
                    let pause = retry;
                    retry = MAX_RETRY.min(retry * 2);
                    Some(pause)
                }
            };
            let wake_up = async {
                match pause {
                    Some(pause) => sleep(pause).await,
                    // The sender lives as long as the listeners.
                    None => drop(added.changed().await),
                }
            };
            tokio::select! {
                () = wake_up => {}
                _ = self.stopped.changed() => {}
            }
        }
    }

    /// Delivers the next events; returns how many have arrived.
    async fn deliver_next(&self, destination: &mut dyn Destination) -> Result<usize, DeliverError> {
        let name = destination.name();
        let (position, events) = position::after(&self.db, name, BATCH).await?;
        if let Some(first) = events.first()
            && first.number > position + 1
        {
            let lost = first.number - position - 1;
            tracing::warn!(
                "{lost} events were removed after their retention before they reached the {name}"
            );
        }
        let (arrived, result) = destination.deliver(&events).await;
        if let Some(last) = arrived.checked_sub(1).and_then(|last| events.get(last)) {
            position::advance(&self.db, name, last.number).await?;
        }
        result.map(|()| arrived)
    }
}

impl DeliverError {
    fn new(what: impl Into<String>, source: Option<BoxError>) -> Self {
        Self { what: what.into(), source }
    }
}

impl From<BackendError> for DeliverError {
    fn from(error: BackendError) -> Self {
        Self::new("the database failed", Some(Box::new(error)))
    }
}

/// The destinations of a configuration.
///
/// # Errors
/// The file can't be opened, which has this path.
pub(crate) fn destinations(
    config: &EventsConfig,
    secret: Option<Secret<String>>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Box<dyn Destination>>, (PathBuf, io::Error)> {
    let mut destinations: Vec<Box<dyn Destination>> = Vec::new();
    if let Some(path) = config.log.clone() {
        destinations.push(Box::new(LogFile::open(path.clone()).map_err(|error| (path, error))?));
    }
    if let Some((url, secret)) = config.url.clone().zip(secret) {
        destinations.push(Box::new(Endpoint::new(url, secret, Arc::clone(clock))));
    }
    Ok(destinations)
}

#[cfg(test)]
mod tests;
