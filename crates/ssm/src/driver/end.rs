//! The end of a channel: its conditions and timers.

use std::time::Duration;

use super::{DROP_TIMEOUT, Driver};
use crate::{
    close_reason::{CloseReason, ConnectionError},
    endpoint::Role,
};

impl Driver {
    /// Handles a lost connection: both ends wait for the next one, for as long as their policy says.
    pub(super) fn connection_lost(&mut self, error: ConnectionError) {
        let now = self.clock.now();
        match self.policy.role {
            Role::Client => {
                self.lost = Some(error);
                if !self.is_accepted || self.policy.linger.is_zero() {
                    self.disconnect();
                    self.give_up();
                } else {
                    // Not closed properly: that would tell the server that the client leaves.
                    self.connection = None;
                    self.disconnected_at = Some(now);
                    self.connected.send_replace(false);
                }
            }
            Role::Server => {
                self.disconnect();
                self.disconnected_at = Some(now);
                let session = &self.policy.session;
                tracing::debug!(session, "session lost its connection: {error}");
                if self.policy.ends_with_client && error.is_departure() {
                    self.end("client has left".to_owned(), now);
                }
            }
        }
    }

    /// Ends a client's channel whose connection was lost.
    pub(super) fn give_up(&mut self) {
        if let Some(error) = self.lost.take() {
            self.closed.get_or_insert(error.into());
        }
    }

    /// Releases the connection and closes it in the background.
    pub(super) fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(connection.close_gracefully(std::iter::empty()));
        }
    }

    /// Ends the session as the service.
    pub(super) fn end(&mut self, message: String, now: Duration) {
        if self.closed.is_none() {
            self.endpoint.close(&self.policy.session, &message, now);
            self.closed = Some(CloseReason::Ended { message, exit_code: None });
        }
    }

    /// Ends the channel if the application has finished and its bytes are acknowledged.
    pub(super) fn check_end(&mut self, now: Duration) {
        if self.closed.is_some() {
            return;
        }
        // Without a client, even an end without output waits, so that the next client receives the message.
        let connected = self.connection.is_some();
        let arrived =
            connected && self.finished_at.is_some() && self.endpoint.is_fully_acknowledged();
        if arrived || self.drain_due().is_some_and(|due| due <= now) {
            match (self.policy.role, self.dropped_at) {
                (Role::Server, _) => {
                    let message = std::mem::take(&mut self.message);
                    self.end(message, now);
                }
                (Role::Client, Some(_)) => self.closed = Some(CloseReason::Dropped),
                (Role::Client, None) => {}
            }
        }
    }

    /// The time of the next timer.
    pub(super) fn next_due(&self) -> Duration {
        let connection = self.connection.as_ref();
        let ping = connection.map(|connection| connection.ping);
        let endpoint = connection.and_then(|_| self.endpoint.deadline());
        let linger = self.linger_due();
        let acknowledgement = self.acknowledgement_due();
        let due = [ping, endpoint, self.drain_due(), acknowledgement, self.idle_due(), linger];
        due.into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    pub(super) fn on_timer(&mut self, now: Duration) {
        if self.connection.is_some() {
            self.endpoint.elapsed(now);
        }
        self.keep_alive(now);
        if self.acknowledgement_due().is_some_and(|due| due <= now) {
            self.connection_lost(ConnectionError::AcknowledgementTimeout);
        }
        if self.linger_due().is_some_and(|due| due <= now) {
            match self.policy.role {
                Role::Client => self.give_up(),
                Role::Server => self.end("client did not reconnect".to_owned(), now),
            }
        }
        if self.idle_due().is_some_and(|due| due <= now) {
            self.end("session timed out due to inactivity".to_owned(), now);
        }
    }

    fn keep_alive(&mut self, now: Duration) {
        let Some(connection) = &mut self.connection else { return };
        if now < connection.ping {
            return;
        }
        let next = now.saturating_add(self.policy.keepalive);
        if !self.inbox.has_capacity() {
            // The endpoint does not read while the inbox is full, so an answer could not be received.
            connection.ping = next;
        } else if let Err(error) = connection.send_ping(next) {
            self.connection_lost(error);
        }
    }

    /// The time at which the end stops to wait for acknowledgements. A session without a client keeps waiting.
    fn drain_due(&self) -> Option<Duration> {
        match self.policy.role {
            Role::Client => self.dropped_at.map(|dropped_at| dropped_at + DROP_TIMEOUT),
            Role::Server => {
                let finished_at = self.finished_at.filter(|_| self.connection.is_some())?;
                Some(finished_at.max(self.endpoint.active_at()).saturating_add(self.policy.drain))
            }
        }
    }

    fn acknowledgement_due(&self) -> Option<Duration> {
        let waiting = self.endpoint.waiting_since().filter(|_| self.connection.is_some())?;
        Some(waiting.saturating_add(self.policy.acknowledgement))
    }

    /// The time at which a channel without a connection ends.
    fn linger_due(&self) -> Option<Duration> {
        Some(self.disconnected_at?.saturating_add(self.policy.linger))
    }

    fn idle_due(&self) -> Option<Duration> {
        let due = self.endpoint.active_at().saturating_add(self.policy.idle);
        (self.policy.role == Role::Server).then_some(due)
    }
}
