//! Transitions that only one state has, for tests that hold a [`Session`] in whatever state.

use domain::{
    session::{Session, Transition},
    timeline::Stamp,
};

/// Gives a waiting session its slot.
///
/// # Panics
/// If the session is in another state.
pub fn admit(session: Session, stamp: Stamp) -> Transition {
    let Session::Waiting(waiting) = session else { panic!("not waiting: {session:?}") };
    waiting.admit(stamp).any()
}

/// Records that a task is about to be requested for a queued session.
///
/// # Panics
/// If the session is in another state.
pub fn provision(session: Session, stamp: Stamp) -> Transition {
    let Session::Queued(queued) = session else { panic!("not queued: {session:?}") };
    queued.provision(stamp).any()
}

/// Ends a stopping session.
///
/// # Panics
/// If the session is in another state.
pub fn finish(session: Session, stamp: Stamp) -> Transition {
    let Session::Stopping(stopping) = session else { panic!("not stopping: {session:?}") };
    stopping.finish(stamp).any()
}
