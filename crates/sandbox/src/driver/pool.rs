//! A few threads for what takes milliseconds: starting sandboxes and tearing them down.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::{Inner, guard};
use crate::task::TaskId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    Launch(TaskId),
    End(TaskId),
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    work: VecDeque<Work>,
    closed: bool,
}

impl Pool {
    pub(super) fn push(&self, work: Work) {
        let mut queue = guard(&self.queue);
        match &work {
            // What ends makes room for what starts.
            Work::End(_) => queue.work.push_front(work),
            Work::Launch(_) => queue.work.push_back(work),
        }
        self.changed.notify_one();
    }

    /// Lets the threads end after what they are at. The records tell a successor about the rest.
    pub(super) fn close(&self) {
        guard(&self.queue).closed = true;
        self.changed.notify_all();
    }

    fn next(&self) -> Option<Work> {
        let mut queue = guard(&self.queue);
        loop {
            if queue.closed {
                return None;
            }
            if let Some(work) = queue.work.pop_front() {
                return Some(work);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Two threads for each core: half of a start is waiting for the kernel.
pub(super) fn start(inner: &Arc<Inner>) -> io::Result<Vec<JoinHandle<()>>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (0..(2 * cores).min(16))
        .map(|_| {
            let inner = Arc::clone(inner);
            thread::Builder::new().name("sandbox-work".into()).spawn(move || work(&inner))
        })
        .collect()
}

fn work(inner: &Inner) {
    while let Some(work) = inner.pool.next() {
        match work {
            Work::Launch(id) => inner.launch(&id),
            Work::End(id) => inner.end(&id),
        }
    }
}
