//! The one gate that all calls of all fakes pass: it counts them, makes them fail, and lets
//! others in between.

use std::{
    fmt,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use domain::ports::BackendError;

/// Whether a failing call does what it was asked to before it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing is done.
    Before,
    /// All is done, but the caller is not told.
    After,
}

type Faults = Box<dyn FnMut(u64, &'static str) -> Option<When> + Send>;

/// Counts port calls, numbered from 0, and fails those that a test picks.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: u64,
    faults: Option<Faults>,
    interleaved: bool,
}

impl Gate {
    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Counts from 0 again and fails the call with this number.
    pub fn fail_at(&self, number: u64, when: When) {
        self.fail(move |call, _| (call == number).then_some(when));
    }

    /// Counts from 0 again and asks `faults` at each call, with its number and what it does.
    pub fn fail(&self, faults: impl FnMut(u64, &'static str) -> Option<When> + Send + 'static) {
        let mut state = self.lock();
        state.calls = 0;
        state.faults = Some(Box::new(faults));
    }

    /// No more failures; counts from 0 again.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.calls = 0;
        state.faults = None;
    }

    /// From now on each call returns to its executor once before and once after its effect, and a
    /// wait does not move the clock: other work may come in between, or the caller may be dropped.
    pub fn interleave(&self) {
        self.lock().interleaved = true;
    }

    /// Calls run through again, and a wait moves the clock.
    pub fn proceed(&self) {
        self.lock().interleaved = false;
    }

    pub(crate) fn interleaved(&self) -> bool {
        self.lock().interleaved
    }

    pub(crate) async fn pass<T: Send>(
        &self,
        action: &'static str,
        effect: impl FnOnce() -> T + Send,
    ) -> Result<T, BackendError> {
        let fault = self.count(action);
        self.pause().await;
        if fault == Some(When::Before) {
            return Err(BackendError::new(action, "made to fail before it began"));
        }
        let value = effect();
        self.pause().await;
        match fault {
            Some(_) => Err(BackendError::new(action, "made to fail after it was done")),
            None => Ok(value),
        }
    }

    fn count(&self, action: &'static str) -> Option<When> {
        let mut state = self.lock();
        let number = state.calls;
        state.calls += 1;
        state.faults.as_mut().and_then(|faults| faults(number, action))
    }

    async fn pause(&self) {
        if self.interleaved() {
            Pause(false).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

/// Pending once.
pub(crate) struct Pause(pub(crate) bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A test that panicked elsewhere must not hide its message behind a poisoned lock.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
