//! When and how a channel ends.

use std::time::Duration;

use super::{Driver, GIVE_UP, LEAVE};
use crate::{
    closed::{Closed, Loss},
    endpoint::Role,
};

impl Driver {
    /// A client's channel is over with its connection; a session waits for the next one.
    pub(super) fn lose(&mut self, loss: Loss) {
        self.disconnect();
        match self.policy.role {
            Role::Client => {
                self.closed.get_or_insert(loss.into());
            }
            Role::Server => tracing::debug!("connection of a session is over: {loss}"),
        }
    }

    /// Lets go of the connection, and closes it in the background if it still stands.
    pub(super) fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(connection.say_goodbye(std::iter::empty()));
        }
    }

    /// Ends the session as the service.
    pub(super) fn end(&mut self, message: String, now: Duration) {
        if self.closed.is_none() {
            self.endpoint.close(&self.policy.session, &message, now);
            self.closed = Some(Closed::Ended { message, exit_code: None });
        }
    }

    /// Looks whether the application is done, and what it wrote has arrived.
    pub(super) fn check_end(&mut self, now: Duration) {
        if self.closed.is_some() {
            return;
        }
        // Nobody there: even an end without output waits for a client, to be told.
        let present = self.connection.is_some();
        let arrived = present && self.finished.is_some() && self.endpoint.is_settled();
        if arrived || self.drain_due().is_some_and(|due| due <= now) {
            match (self.policy.role, self.left) {
                (Role::Server, _) => {
                    let message = std::mem::take(&mut self.message);
                    self.end(message, now);
                }
                (Role::Client, Some(_)) => self.closed = Some(Closed::Left),
                (Role::Client, None) => {}
            }
        }
    }

    /// The next time at which something is to do.
    pub(super) fn next_due(&self) -> Duration {
        let connection = self.connection.as_ref();
        let ping = connection.map(|connection| connection.ping);
        let endpoint = connection.and_then(|_| self.endpoint.deadline());
        let due = [ping, endpoint, self.drain_due(), self.give_up_due(), self.idle_due()];
        due.into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    pub(super) fn on_timer(&mut self, now: Duration) {
        if self.connection.is_some() {
            self.endpoint.elapsed(now);
        }
        self.keep_alive(now);
        if self.give_up_due().is_some_and(|due| due <= now) {
            self.lose(Loss::Unacknowledged);
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
        if !self.inbox.has_room() {
            // Nobody listens, so no answer would be heard.
            connection.ping = next;
        } else if let Err(loss) = connection.send_ping(next) {
            self.lose(loss);
        }
    }

    /// When the end no longer waits for acknowledgements. A session without a client waits on for one.
    fn drain_due(&self) -> Option<Duration> {
        match self.policy.role {
            Role::Client => self.left.map(|left| left + LEAVE),
            Role::Server => {
                let finished = self.finished.filter(|_| self.connection.is_some())?;
                Some(finished.max(self.endpoint.active_at()).saturating_add(self.policy.drain))
            }
        }
    }

    fn give_up_due(&self) -> Option<Duration> {
        let waiting = self.endpoint.waiting_since()?;
        (self.policy.role == Role::Client).then_some(waiting + GIVE_UP)
    }

    fn idle_due(&self) -> Option<Duration> {
        let due = self.endpoint.active_at().saturating_add(self.policy.idle);
        (self.policy.role == Role::Server).then_some(due)
    }
}
