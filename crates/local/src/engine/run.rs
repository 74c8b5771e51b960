//! Drives the engine in real time.

use std::{sync::Arc, time::Duration};

use domain::{
    Timestamp,
    message::{Lane, Message},
};
use handlers::ClaimedJob;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Engine, VISIBILITY};
use crate::queue::{LocalLane, Share};

/// How often the index of due records is read, which is cheap.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The longest time between two sweeps, which also find tasks without a record.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// The longest sleep, because the clock may be set meanwhile.
const MAX_SLEEP: Duration = Duration::from_mins(1);
/// How long handlers may take to finish when the engine stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for those who follow commands.
const FOLLOWER_STOP_TIMEOUT: Duration = Duration::from_millis(200);
/// How long the refill of the pool waits before it checks again whether sessions wait for their shells.
const REFILL_RETRY: Duration = Duration::from_millis(50);

/// A running engine. Dropping it aborts all handlers, which loses nothing: each may be repeated.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    parts: JoinSet<()>,
}

impl Running {
    /// Takes no new work, and returns when the running handlers have finished, or after 5 s.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.parts.join_next().await.is_some() {}
    }
}

impl Engine {
    /// Starts the engine. What an earlier process left unfinished is resumed at once.
    pub fn run(self: &Arc<Self>) -> Running {
        let (stop, stopped) = watch::channel(false);
        let mut parts = JoinSet::new();
        parts.spawn(Arc::clone(self).sweep_when_due(stopped.clone()));
        parts.spawn(Arc::clone(self).drive_executions(stopped.clone()));
        parts.spawn(Arc::clone(self).refill_pool(stopped.clone()));
        for lane in LocalLane::ALL {
            parts.spawn(Arc::clone(self).serve(lane, stopped.clone()));
        }
        Running { stop, parts }
    }

    async fn serve(self: Arc<Self>, lane: LocalLane, mut stopped: watch::Receiver<bool>) {
        let limit = concurrency(lane);
        self.queue.set_share(lane, share(lane));
        let mut running: JoinSet<Option<Box<ClaimedJob>>> = JoinSet::new();
        let mut followers = JoinSet::new();
        while !*stopped.borrow() {
            while followers.try_join_next().is_some() {}
            let free = limit - running.len();
            for received in self.queue.receive(lane, self.env().now(), free, VISIBILITY) {
                let engine = Arc::clone(&self);
                running.spawn(async move { engine.handle_briefly(received).await });
            }
            let full = running.len() >= limit;
            tokio::select! {
                () = self.queue.arrival(lane), if !full => {}
                () = self.sleep_until(self.queue.next_visible(lane)), if !full => {}
                Some(handled) = running.join_next() => {
                    if let Ok(Some(job)) = handled {
                        let engine = Arc::clone(&self);
                        followers.spawn(async move { engine.follow(job).await });
                    }
                }
                _ = stopped.changed() => {}
            }
        }
        finish(running, STOP_TIMEOUT).await;
        // Commands may run for hours; the next server follows them.
        finish(followers, FOLLOWER_STOP_TIMEOUT).await;
    }

    /// Fills the pool of warm tasks when it was requested, and when no session waits for its shell: to
    /// start a warm task takes the same processors.
    async fn refill_pool(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            tokio::select! {
                () = self.refill.notified() => {}
                _ = stopped.changed() => return,
            }
            // The sweep fills the pool at least once a minute.
            while self.store.any_starting().unwrap_or_default() && !*stopped.borrow() {
                sleep(REFILL_RETRY).await;
            }
            // The invoker has logged a failure, and the sweep tries again.
            let _next_time = self.invoker.handle(Message::FillPool).await;
        }
    }

    async fn drive_executions(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        while !*stopped.borrow() {
            while running.try_join_next().is_some() {}
            self.workflow.fire();
            while let Some(session) = self.workflow.take() {
                let engine = Arc::clone(&self);
                running.spawn(async move { engine.workflow.drive(session, &engine.invoker).await });
            }
            tokio::select! {
                () = self.workflow.woken() => {}
                () = self.sleep_until(self.workflow.next_timer()) => {}
                // The execution may have set an earlier timer.
                Some(_) = running.join_next() => {}
                _ = stopped.changed() => {}
            }
        }
        finish(running, STOP_TIMEOUT).await;
    }

    async fn sweep_when_due(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut next = self.env().now();
        while !*stopped.borrow() {
            let now = self.env().now();
            let due = self.next_due().unwrap_or_else(|error| {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "failed to find the due records; trying again in a second");
                None
            });
            // A clock that was set back must not delay the next sweep.
            if now >= next || next.since(now) > SWEEP_EVERY || due.is_some_and(|due| due <= now) {
                self.sweep().await;
                next = self.env().now() + SWEEP_EVERY;
            }
            tokio::select! {
                () = sleep(CHECK_EVERY) => {}
                _ = stopped.changed() => {}
            }
        }
    }

    async fn sleep_until(&self, at: Option<Timestamp>) {
        let span = at.map_or(MAX_SLEEP, |at| at.since(self.env().now()));
        sleep(span.min(MAX_SLEEP)).await;
    }
}

/// How many messages of a lane are handled concurrently. The handlers are short or wait for others: for
/// remote systems, or for a runner, which may answer late while its shell is busy. A command that runs holds
/// no place; [`handlers::Policy::running`] limits those.
const fn concurrency(lane: LocalLane) -> usize {
    match lane {
        LocalLane::Main(Lane::Control) => 32,
        LocalLane::Main(Lane::Exec | Lane::TaskEvents) => 64,
        LocalLane::Interrupts | LocalLane::Main(Lane::Webhooks) => 256,
    }
}

/// How many of them may be of one user, so that nobody can hold all places.
const fn share(lane: LocalLane) -> Share {
    match lane {
        LocalLane::Main(Lane::Control | Lane::Exec) => Share::of_user(8),
        LocalLane::Main(Lane::TaskEvents) => Share::of_user(16),
        LocalLane::Interrupts => Share::of_user(32),
        LocalLane::Main(Lane::Webhooks) => Share { user: 4, host: 4 },
    }
}

/// Waits for the running handlers until the timeout, and drops the others: each may stop at any point.
async fn finish<T: 'static>(mut handlers: JoinSet<T>, limit: Duration) {
    let all = async { while handlers.join_next().await.is_some() {} };
    let _timed_out = timeout(limit, all).await;
}
