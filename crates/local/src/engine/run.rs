//! The engine in real time.

use std::{sync::Arc, time::Duration};

use domain::{Timestamp, message::Lane};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Engine, VISIBILITY};

/// How often the index of what is due is asked: one cheap read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often we sweep at least, for tasks that no record explains.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// No sleep is longer: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// What handlers at work get to finish when the engine stops.
const GRACE: Duration = Duration::from_secs(5);
/// A worker that follows a command would not finish anyway; the next one takes over.
const WORKER_GRACE: Duration = Duration::from_millis(200);

/// An engine at work. Dropping it stops it where it stands, which does no harm.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    parts: JoinSet<()>,
}

impl Running {
    /// Takes up no more work and returns when the work at hand is done, or after 5 s.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.parts.join_next().await.is_some() {}
    }
}

impl Engine {
    /// Begins to work. What a process before this one left is taken up at once.
    pub fn run(self: &Arc<Self>) -> Running {
        let (stop, stopped) = watch::channel(false);
        let mut parts = JoinSet::new();
        parts.spawn(Arc::clone(self).sweep_when_due(stopped.clone()));
        parts.spawn(Arc::clone(self).drive_executions(stopped.clone()));
        for lane in Lane::ALL {
            parts.spawn(Arc::clone(self).serve(lane, stopped.clone()));
        }
        Running { stop, parts }
    }

    async fn serve(self: Arc<Self>, lane: Lane, mut stopped: watch::Receiver<bool>) {
        let limit = at_once(lane);
        let mut at_work = JoinSet::new();
        while !*stopped.borrow() {
            while at_work.try_join_next().is_some() {}
            let room = limit - at_work.len();
            for received in self.queue.receive(lane, self.env().now(), room, VISIBILITY) {
                let engine = Arc::clone(&self);
                at_work.spawn(async move { engine.work(received).await });
            }
            let full = at_work.len() >= limit;
            tokio::select! {
                () = self.queue.arrival(lane), if !full => {}
                () = self.sleep_until(self.queue.next_visible(lane)), if !full => {}
                _ = at_work.join_next(), if full => {}
                _ = stopped.changed() => {}
            }
        }
        finish(at_work, if lane == Lane::Exec { WORKER_GRACE } else { GRACE }).await;
    }

    async fn drive_executions(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut at_work = JoinSet::new();
        while !*stopped.borrow() {
            while at_work.try_join_next().is_some() {}
            self.workflow.fire();
            while let Some(session) = self.workflow.take() {
                let engine = Arc::clone(&self);
                at_work.spawn(async move { engine.workflow.drive(session, &engine.invoker).await });
            }
            tokio::select! {
                () = self.workflow.woken() => {}
                () = self.sleep_until(self.workflow.next_timer()) => {}
                // A new timer may be the next one.
                Some(_) = at_work.join_next() => {}
                _ = stopped.changed() => {}
            }
        }
        finish(at_work, GRACE).await;
    }

    async fn sweep_when_due(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut next = self.env().now();
        while !*stopped.borrow() {
            let now = self.env().now();
            let due = self.next_due().unwrap_or_else(|error| {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the records that are due can't be asked for");
                None
            });
            // A clock that was set back must not put the next sweep off.
            if now >= next || next.since(now) > SWEEP_EVERY || due.is_some_and(|due| due <= now) {
                self.sweep().await;
                next = self.env().now() + SWEEP_EVERY;
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _ = stopped.changed() => {}
            }
        }
    }

    async fn sleep_until(&self, at: Option<Timestamp>) {
        let span = at.map_or(LONGEST_SLEEP, |at| at.since(self.env().now()));
        sleep(span.min(LONGEST_SLEEP)).await;
    }
}

/// How many messages of a lane are worked off at once. Following a command takes a socket and some
/// buffers; the other lanes' handlers are short, or wait for the outside.
const fn at_once(lane: Lane) -> usize {
    match lane {
        Lane::Control => 32,
        Lane::Exec => 1024,
        Lane::TaskEvents | Lane::Webhooks => 64,
    }
}

/// Waits for the work at hand; drops what takes longer. Every handler may stop at any point.
async fn finish(mut at_work: JoinSet<()>, grace: Duration) {
    let all = async { while at_work.join_next().await.is_some() {} };
    let _some_left = timeout(grace, all).await;
}
