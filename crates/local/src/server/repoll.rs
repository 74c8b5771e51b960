//! Polls a future again at once if it was woken while it was polled.
//!
//! hyper hands over each piece of a body through a channel between two parts of one task, and so the task wakes itself
//! while it runs. tokio then queues the task and wakes a second thread, which takes it over: two system calls and a
//! change of threads for each piece of an upload. Polling the task again at once avoids both.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;
use tokio::task::coop;

/// How often a future is polled before other tasks get their turn. With each poll, an upload copies a piece of up to
/// 256 KiB, and the other tasks of the same thread wait meanwhile.
const MAX_POLLS: usize = 8;

/// Polls one future, and notices when it is woken meanwhile.
#[derive(Debug)]
pub(super) struct Repoll {
    state: Arc<State>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct State(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Wakes the task.
    task: Option<Waker>,
    is_polling: bool,
    was_woken: bool,
}

impl Repoll {
    pub(super) fn new() -> Self {
        let state = Arc::new(State::default());
        Self { waker: Waker::from(Arc::clone(&state)), state }
    }

    /// Polls until the future is ready, or waits and was not woken since its last poll.
    pub(super) fn poll<T>(
        &self,
        task: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let mut context = Context::from_waker(&self.waker);
        for _ in 0..MAX_POLLS {
            self.state.begin(task.waker());
            let polled = poll(&mut context);
            let was_woken = self.state.end();
            if polled.is_ready() || !was_woken {
                return polled;
            }
            if !coop::has_budget_remaining() {
                break;
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

impl State {
    fn begin(&self, task: &Waker) {
        let mut inner = self.0.lock();
        inner.is_polling = true;
        inner.was_woken = false;
        match &mut inner.task {
            Some(known) => known.clone_from(task),
            unknown @ None => *unknown = Some(task.clone()),
        }
    }

    /// Whether the future was woken since the poll began. From now on the task is woken instead.
    fn end(&self) -> bool {
        let mut inner = self.0.lock();
        inner.is_polling = false;
        inner.was_woken
    }
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut inner = self.0.lock();
        if inner.is_polling {
            inner.was_woken = true;
            return;
        }
        let task = inner.task.clone();
        drop(inner);
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests;
