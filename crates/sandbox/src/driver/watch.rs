//! One thread that sees every PID 1 end, however many there are, and kills those that don't.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::pool::Work;
use super::{Inner, guard};
use crate::task::TaskId;

/// The event that is not a process.
const WAKE: u64 = 0;

#[derive(Debug)]
pub(super) struct Watch {
    epoll: OwnedFd,
    wake: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    watched: HashMap<u64, (TaskId, Arc<OwnedFd>)>,
    last_key: u64,
    deadlines: BTreeSet<(Instant, TaskId)>,
    closed: bool,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Self { epoll, wake, state: Mutex::default() })
    }

    /// Reports the end of this process, once.
    pub(super) fn add(&self, id: &TaskId, process: &Arc<OwnedFd>) {
        let mut state = guard(&self.state);
        state.last_key += 1;
        let key = state.last_key;
        state.watched.insert(key, (id.clone(), Arc::clone(process)));
        let data = epoll::EventData::new_u64(key);
        if let Err(error) = epoll::add(&self.epoll, process.as_fd(), data, epoll::EventFlags::IN) {
            tracing::error!(task.id = %id, error = %error, "a sandbox can't be watched");
        }
    }

    /// Looks at the task again then: kills its process, or goes on with its removal.
    pub(super) fn look_at(&self, id: &TaskId, at: Instant) {
        guard(&self.state).deadlines.insert((at, id.clone()));
        self.wake();
    }

    pub(super) fn close(&self) {
        guard(&self.state).closed = true;
        self.wake();
    }

    fn wake(&self) {
        // A full counter wakes as well.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn wait(&self) -> Option<Vec<u64>> {
        let timeout = {
            let state = guard(&self.state);
            if state.closed {
                return None;
            }
            let next =
                state.deadlines.first().map(|(at, _)| at.saturating_duration_since(Instant::now()));
            next.and_then(|left| Timespec::try_from(left).ok())
        };
        let mut events = Vec::with_capacity(64);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => tracing::error!(error = %error, "the sandboxes can't be watched"),
        }
        Some(events.iter().map(|event| event.data.u64()).collect())
    }

    /// The task of an event, which is not watched any more.
    fn take(&self, key: u64) -> Option<(TaskId, Arc<OwnedFd>)> {
        let (id, process) = guard(&self.state).watched.remove(&key)?;
        let _ = epoll::delete(&self.epoll, process.as_fd());
        Some((id, process))
    }

    /// The next task whose time has come, and its process if that is still there.
    fn overdue(&self) -> Option<(TaskId, Option<Arc<OwnedFd>>)> {
        let mut state = guard(&self.state);
        let due = state.deadlines.first().filter(|(at, _)| *at <= Instant::now()).cloned()?;
        state.deadlines.remove(&due);
        let (_, id) = due;
        let process = state.watched.values().find(|(watched, _)| *watched == id);
        let process = process.map(|(_, process)| Arc::clone(process));
        Some((id, process))
    }
}

pub(super) fn start(inner: &Arc<Inner>) -> io::Result<JoinHandle<()>> {
    let inner = Arc::clone(inner);
    thread::Builder::new().name("sandbox-watch".into()).spawn(move || run(&inner))
}

fn run(inner: &Inner) {
    while let Some(events) = inner.watch.wait() {
        for key in events {
            if key == WAKE {
                let _ = rustix::io::read(&inner.watch.wake, &mut [0; 8]);
            } else if let Some((id, process)) = inner.watch.take(key) {
                inner.exited(&id, exit_code(&process));
            }
        }
        while let Some((id, process)) = inner.watch.overdue() {
            match process {
                // With PID 1 of a namespace, all others go. If it is gone, so much the better.
                Some(process) => drop(pidfd_send_signal(process, Signal::KILL)),
                None => inner.pool.push(Work::End(id)),
            }
        }
    }
}

/// As a shell says it. `None` for a process that a predecessor of ours started.
fn exit_code(process: &OwnedFd) -> Option<i32> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = waitid(WaitId::PidFd(process.as_fd()), options).ok()??;
    status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal))
}
