//! A connection to one command.

use std::{sync::Arc, task::Poll};

use async_trait::async_trait;
use domain::{
    JobId, TaskId, Timestamp,
    ports::{Attached, Clock, CommandEvent, ShellError, Stream},
};

use super::{Inner, Process};

pub(super) struct Connection {
    inner: Arc<Inner>,
    task: TaskId,
    job: JobId,
    from: (u64, u64),
    greeted: bool,
    over: bool,
}

impl Connection {
    pub(super) const fn new(inner: Arc<Inner>, task: TaskId, job: JobId, from: (u64, u64)) -> Self {
        Self { inner, task, job, from, greeted: false, over: false }
    }

    /// The next event, if it has happened already.
    fn ready(&mut self) -> Result<Option<CommandEvent>, ShellError> {
        self.inner.reach(&self.task)?;
        let inner = self.inner.clone();
        let now = inner.now();
        let mut state = inner.state.lock();
        let key = (self.task.clone(), self.job);
        let process = state.processes.get_mut(&key).ok_or(ShellError::Gone)?;
        let event = self.next_of(process, now);
        process.over |= self.over;
        Ok(event)
    }

    fn next_of(&mut self, process: &Process, now: Timestamp) -> Option<CommandEvent> {
        if self.over {
            return None;
        }
        if process.ran && !std::mem::replace(&mut self.greeted, true) {
            return Some(CommandEvent::Started);
        }
        for (at, stream, offset, bytes) in process.readable() {
            let sent = self.sent(*stream);
            let end = offset + bytes.len() as u64;
            if *at <= now && end > *sent {
                let offset = (*offset).max(*sent);
                let fresh = bytes.len()
                    - usize::try_from(end - offset).expect("the rest is not longer than the piece");
                *sent = end;
                let bytes = bytes[fresh..].to_vec();
                return Some(CommandEvent::Output { stream: *stream, offset, bytes });
            }
        }
        if process.ends_at > now {
            return None;
        }
        self.over = true;
        Some(CommandEvent::Ended(process.end.clone()))
    }

    const fn sent(&mut self, stream: Stream) -> &mut u64 {
        match stream {
            Stream::Stdout => &mut self.from.0,
            Stream::Stderr => &mut self.from.1,
        }
    }

    /// The time of the next event, if no other call changes the command.
    fn next_at(&self) -> Option<Timestamp> {
        let now = self.inner.now();
        let state = self.inner.state.lock();
        let process = state.processes.get(&(self.task.clone(), self.job))?;
        let later = process.readable().iter().map(|(at, ..)| *at).filter(|at| *at > now);
        later.chain([process.ends_at]).filter(|_| !self.over).min()
    }
}

#[async_trait]
impl Attached for Connection {
    async fn next(&mut self, until: Timestamp) -> Result<Option<CommandEvent>, ShellError> {
        let inner = self.inner.clone();
        let ready = inner.gate.pass("hearing a command", || self.ready()).await??;
        if ready.is_some() {
            return Ok(ready);
        }
        if inner.gate.interleaved() {
            return std::future::poll_fn(|_| match self.ready() {
                Ok(None) if inner.clock.now() < until => Poll::Pending,
                ready => Poll::Ready(ready),
            })
            .await;
        }
        inner.clock.reach(self.next_at().map_or(until, |at| at.min(until)));
        self.ready()
    }
}
