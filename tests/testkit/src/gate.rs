//! Fault injection: all calls of all fakes pass one gate, which counts the calls, makes some of them
//! fail, and lets other work run in between.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use domain::ports::BackendError;
use futures::future::BoxFuture;
use parking_lot::Mutex;

/// Where a failing call fails: before or after its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPoint {
    /// The call has no effect.
    Before,
    /// The call has its effect, and its caller gets an error.
    After,
}

type Faults = Box<dyn FnMut(u64, &'static str) -> Option<FaultPoint> + Send>;
type Delays = Box<dyn Fn(&'static str) -> BoxFuture<'static, ()> + Send>;

/// Counts port calls, numbered from 0, and fails those that a test picks.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: u64,
    faults: Option<Faults>,
    delays: Option<Delays>,
    interleaved: bool,
}

impl Gate {
    /// The number of calls since the last reset.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Counts from 0 again and fails the call with this number.
    pub fn fail_at(&self, number: u64, point: FaultPoint) {
        self.fail(move |call, _| (call == number).then_some(point));
    }

    /// Counts from 0 again. `faults` decides at each call, by its number and its action, whether and
    /// where the call fails.
    pub fn fail(
        &self,
        faults: impl FnMut(u64, &'static str) -> Option<FaultPoint> + Send + 'static,
    ) {
        let mut state = self.state.lock();
        state.calls = 0;
        state.faults = Some(Box::new(faults));
    }

    /// No call fails any more; counts from 0 again.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.calls = 0;
        state.faults = None;
    }

    /// From now on each call has its effect after the future that `delays` returns for its action.
    pub fn delay(&self, delays: impl Fn(&'static str) -> BoxFuture<'static, ()> + Send + 'static) {
        self.state.lock().delays = Some(Box::new(delays));
    }

    /// From now on each call yields to its executor once before and once after its effect, and a
    /// wait does not move the clock: other work may run in between, or the caller may be dropped.
    pub fn interleave(&self) {
        self.state.lock().interleaved = true;
    }

    /// Calls no longer yield, and a wait moves the clock.
    pub fn proceed(&self) {
        self.state.lock().interleaved = false;
    }

    pub(crate) fn interleaved(&self) -> bool {
        self.state.lock().interleaved
    }

    pub(crate) async fn pass<T: Send>(
        &self,
        action: &'static str,
        effect: impl FnOnce() -> T + Send,
    ) -> Result<T, BackendError> {
        let fault = self.count(action);
        let delay = self.state.lock().delays.as_ref().map(|delays| delays(action));
        if let Some(delay) = delay {
            delay.await;
        }
        self.pause().await;
        if fault == Some(FaultPoint::Before) {
            return Err(BackendError::new(action, "injected fault before the effect"));
        }
        let value = effect();
        self.pause().await;
        match fault {
            Some(_) => Err(BackendError::new(action, "injected fault after the effect")),
            None => Ok(value),
        }
    }

    fn count(&self, action: &'static str) -> Option<FaultPoint> {
        let mut state = self.state.lock();
        let number = state.calls;
        state.calls += 1;
        state.faults.as_mut().and_then(|faults| faults(number, action))
    }

    async fn pause(&self) {
        if self.interleaved() {
            Pause(false).await;
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

/// A future that is pending once.
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
