//! A pool of threads that start sandboxes and remove them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use super::Inner;
use crate::task::TaskId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    Launch(TaskId),
    Teardown(TaskId),
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
        let mut queue = self.queue.lock();
        match &work {
            // A removal frees resources that a launch may need.
            Work::Teardown(_) => queue.work.push_front(work),
            Work::Launch(_) => queue.work.push_back(work),
        }
        self.changed.notify_one();
    }

    /// Lets the threads end after their current work. The next driver reads the rest from the records.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.notify_all();
    }

    fn next(&self) -> Option<Work> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(work) = queue.work.pop_front() {
                return Some(work);
            }
            self.changed.wait(&mut queue);
        }
    }
}

/// Starts two threads per core, because half of a start's time is waiting for the kernel.
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
            Work::Teardown(id) => inner.teardown(&id),
        }
    }
}
