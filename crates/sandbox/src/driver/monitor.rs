//! A thread that waits for the end of every PID 1, and kills those that outlive their grace period.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::Inner;
use super::pool::Work;
use crate::task::TaskId;

/// The epoll key of the eventfd that wakes the thread; processes have other keys.
const WAKE: u64 = 0;

#[derive(Debug)]
pub(super) struct Monitor {
    epoll: OwnedFd,
    wake: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    monitored: HashMap<u64, (TaskId, Arc<OwnedFd>)>,
    last_key: u64,
    deadlines: BTreeSet<(Instant, TaskId)>,
    expiries: BTreeSet<(Instant, TaskId)>,
    closed: bool,
}

impl Monitor {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Self { epoll, wake, state: Mutex::default() })
    }

    /// Monitors this process; its end is reported once.
    pub(super) fn add(&self, id: &TaskId, process: &Arc<OwnedFd>) {
        let mut state = self.state.lock();
        state.last_key += 1;
        let key = state.last_key;
        state.monitored.insert(key, (id.clone(), Arc::clone(process)));
        let data = epoll::EventData::new_u64(key);
        if let Err(error) = epoll::add(&self.epoll, process.as_fd(), data, epoll::EventFlags::IN) {
            tracing::error!(task.id = %id, error = %error, "failed to monitor a sandbox's PID 1");
        }
    }

    /// Schedules SIGKILL for the task's PID 1; if that has ended by then, the removal of the sandbox.
    pub(super) fn schedule(&self, id: &TaskId, at: Instant) {
        self.state.lock().deadlines.insert((at, id.clone()));
        self.wake();
    }

    /// Schedules a check whether the task's deadline has passed.
    pub(super) fn schedule_expiry(&self, id: &TaskId, at: Instant) {
        self.state.lock().expiries.insert((at, id.clone()));
        self.wake();
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake();
    }

    fn wake(&self) {
        // Fails if the counter is at its maximum; the thread wakes up all the same.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn wait(&self) -> Option<Vec<u64>> {
        let timeout = {
            let state = self.state.lock();
            if state.closed {
                return None;
            }
            let next = state.deadlines.first().into_iter().chain(state.expiries.first());
            let next = next.map(|(at, _)| at.saturating_duration_since(Instant::now())).min();
            next.and_then(|left| Timespec::try_from(left).ok())
        };
        let mut events = Vec::with_capacity(64);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::error!(error = %error, "failed to wait for the end of sandboxes")
            }
        }
        Some(events.iter().map(|event| event.data.u64()).collect())
    }

    /// Stops monitoring the process of this key and returns its task.
    fn take(&self, key: u64) -> Option<(TaskId, Arc<OwnedFd>)> {
        let (id, process) = self.state.lock().monitored.remove(&key)?;
        let _ = epoll::delete(&self.epoll, process.as_fd());
        Some((id, process))
    }

    /// The next task whose scheduled time has passed, and its PID 1 if that still runs.
    fn overdue(&self) -> Option<(TaskId, Option<Arc<OwnedFd>>)> {
        let mut state = self.state.lock();
        let due = state.deadlines.first().filter(|(at, _)| *at <= Instant::now()).cloned()?;
        state.deadlines.remove(&due);
        let (_, id) = due;
        let process = state.monitored.values().find(|(monitored, _)| *monitored == id);
        let process = process.map(|(_, process)| Arc::clone(process));
        Some((id, process))
    }
}

impl Monitor {
    /// The next task whose deadline may have passed.
    fn expired(&self) -> Option<TaskId> {
        let mut state = self.state.lock();
        let due = state.expiries.first().filter(|(at, _)| *at <= Instant::now()).cloned()?;
        state.expiries.remove(&due);
        Some(due.1)
    }
}

pub(super) fn start(inner: &Arc<Inner>) -> io::Result<JoinHandle<()>> {
    let inner = Arc::clone(inner);
    thread::Builder::new().name("sandbox-monitor".into()).spawn(move || run(&inner))
}

fn run(inner: &Inner) {
    while let Some(events) = inner.monitor.wait() {
        for key in events {
            if key == WAKE {
                let _ = rustix::io::read(&inner.monitor.wake, &mut [0; 8]);
            } else if let Some((id, process)) = inner.monitor.take(key) {
                inner.exited(&id, exit_code(&process));
            }
        }
        while let Some(id) = inner.monitor.expired() {
            inner.expire(&id);
        }
        while let Some((id, process)) = inner.monitor.overdue() {
            match process {
                // When PID 1 ends, the kernel kills all processes of its pid namespace. Sending the
                // signal fails if PID 1 has ended already.
                Some(process) => drop(pidfd_send_signal(process, Signal::KILL)),
                None => inner.pool.push(Work::Teardown(id)),
            }
        }
    }
}

/// The exit code of an ended process; 128 + n if signal n killed it. `None` if the process is not a
/// child of this one, because an earlier driver started it.
fn exit_code(process: &OwnedFd) -> Option<i32> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = waitid(WaitId::PidFd(process.as_fd()), options).ok()??;
    status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal))
}
