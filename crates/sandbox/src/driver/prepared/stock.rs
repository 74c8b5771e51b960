//! The prepared sandboxes of a driver, and when more are made.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Prepared;

/// The prepared sandboxes.
#[derive(Debug, Default)]
pub(in super::super) struct Stock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: Vec<Prepared>,
    /// Those that no task can use any more.
    stale: Vec<Prepared>,
    /// How many tasks are starting.
    starting: usize,
    /// No sandbox is made before this time.
    paused_until: Option<Instant>,
    /// When the last start ended.
    last_start: Option<Instant>,
    closed: bool,
}

/// While it exists, a task is starting.
#[derive(Debug)]
pub(in super::super) struct Starting<'a>(&'a Stock);

impl Stock {
    /// Sandboxes are made only while no task is starting.
    pub(in super::super) fn starting(&self) -> Starting<'_> {
        self.state.lock().starting += 1;
        Starting(self)
    }

    /// How many sandboxes wait for tasks.
    pub(in super::super) fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// Takes a sandbox that suits. Those that suit and aren't usable become stale.
    pub(super) fn take(
        &self,
        suits: impl Fn(&Prepared) -> bool,
        is_usable: impl Fn(&Prepared) -> bool,
    ) -> Option<Prepared> {
        loop {
            let found = {
                let mut state = self.state.lock();
                let at = state.ready.iter().position(&suits)?;
                state.ready.remove(at)
            };
            if is_usable(&found) {
                return Some(found);
            }
            self.state.lock().stale.push(found);
        }
    }

    pub(super) fn take_all(&self) -> Vec<Prepared> {
        let mut state = self.state.lock();
        let stale = std::mem::take(&mut state.stale);
        state.ready.drain(..).chain(stale).collect()
    }

    pub(super) fn add(&self, prepared: Prepared) {
        self.state.lock().ready.push(prepared);
    }

    pub(super) fn pause(&self, until: Instant) {
        self.state.lock().paused_until = Some(until);
    }

    /// Lets [`Stock::wait`] return `None`.
    pub(in super::super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits until there are fewer than `count` sandboxes, or stale ones, and no task has been starting for
    /// the quiet time. Returns the stale ones; `None` once the stock is closed.
    pub(super) fn wait(&self, count: usize, quiet: Duration) -> Option<Vec<Prepared>> {
        let mut state = self.state.lock();
        while !state.closed {
            let is_needed = state.ready.len() < count || !state.stale.is_empty();
            if !is_needed || state.starting > 0 {
                self.changed.wait(&mut state);
                continue;
            }
            let after = state.last_start.map(|at| at + quiet).max(state.paused_until);
            match after.filter(|after| *after > Instant::now()) {
                Some(after) => drop(self.changed.wait_until(&mut state, after)),
                None => return Some(std::mem::take(&mut state.stale)),
            }
        }
        None
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.starting -= 1;
        state.last_start = Some(Instant::now());
        self.0.changed.notify_all();
    }
}
