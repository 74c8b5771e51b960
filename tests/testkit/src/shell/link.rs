//! Runners that connect by themselves: requests are posted to them, and they report.

use std::collections::BTreeMap;

use domain::{
    JobId, TaskId,
    command::Command,
    ports::{Report, ReportedEnd, ReportedOutput, Stream},
};

use super::{Inner, MemoryShell, Process};

/// A request on its way to a runner.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    Run(JobId, Box<Command>, (u64, u64)),
    Cancel(JobId),
    Signal(JobId, i32),
}

/// What is under way, and what the runners report.
#[derive(Default)]
pub(super) struct Links {
    pub(super) frames: Vec<(TaskId, Frame)>,
    /// The jobs that are reported, and what is known to be stored of their output.
    reported: BTreeMap<(TaskId, JobId), (u64, u64)>,
}

impl MemoryShell {
    /// From now on requests to run, cancel or signal a command are under way until they are delivered, and the
    /// runners report.
    pub fn post_requests(&self) {
        self.inner.state.lock().links.get_or_insert_default();
    }

    /// How many requests are under way.
    pub fn requests_under_way(&self) -> usize {
        self.inner.state.lock().links.as_ref().map_or(0, |links| links.frames.len())
    }

    /// Loses a request that is under way.
    pub fn lose_request(&self, at: usize) {
        if let Some(links) = &mut self.inner.state.lock().links {
            links.frames.swap_remove(at);
        }
    }

    /// Delivers a request that is under way; with `again`, a copy of it stays under way.
    pub fn deliver_request(&self, at: usize, again: bool) {
        let taken = self.inner.state.lock().links.as_mut().map(|links| {
            if again { links.frames[at].clone() } else { links.frames.swap_remove(at) }
        });
        let Some((task, frame)) = taken else { return };
        if self.inner.reach(&task).is_err() {
            return;
        }
        let now = self.inner.now();
        match frame {
            Frame::Run(job, command, from) => {
                self.inner.begin(&task, job, &command);
                if let Some(links) = &mut self.inner.state.lock().links {
                    links.reported.entry((task, job)).or_insert(from);
                }
            }
            Frame::Cancel(job) => self.inner.cancel(&task, job, now),
            Frame::Signal(job, signal) => {
                self.inner.with_process(&task, job, |one| one.signal(signal, now));
            }
        }
    }

    /// The jobs that the runners report.
    pub fn reported(&self) -> Vec<(TaskId, JobId)> {
        let state = self.inner.state.lock();
        state.links.iter().flat_map(|links| links.reported.keys().cloned()).collect()
    }

    /// The present report of a job; `None` if its runner can't be reached.
    pub fn report(&self, task: &TaskId, job: JobId) -> Option<Report> {
        self.inner.reach(task).ok()?;
        let now = self.inner.now();
        let mut state = self.inner.state.lock();
        let key = (task.clone(), job);
        let mut at = *state.links.as_ref()?.reported.get(&key)?;
        let process = state.processes.get_mut(&key)?;
        let mut output = Vec::new();
        for (written_at, stream, offset, bytes) in process.readable() {
            let at = if *stream == Stream::Stdout { &mut at.0 } else { &mut at.1 };
            let end = offset + bytes.len() as u64;
            if *written_at > now || end <= *at {
                continue;
            }
            let known = usize::try_from(at.saturating_sub(*offset)).unwrap_or(usize::MAX);
            output.push(ReportedOutput {
                stream: *stream,
                from: *at,
                offset: (*offset).max(*at),
                bytes: bytes[known..].to_vec(),
            });
            *at = end;
        }
        let is_over = process.ends_at <= now;
        process.over |= is_over;
        let end = is_over.then(|| ReportedEnd { end: process.end.clone(), at });
        Some(Report { job, output, end })
    }

    /// The answer to a report: so much of the output is stored, or nothing more is wanted.
    pub fn acknowledge(&self, task: &TaskId, job: JobId, stored: (u64, u64), over: bool) {
        let mut state = self.inner.state.lock();
        let Some(links) = &mut state.links else { return };
        let key = (task.clone(), job);
        if over {
            links.reported.remove(&key);
            state.processes.get_mut(&key).into_iter().for_each(Process::release);
        } else if let Some(at) = links.reported.get_mut(&key) {
            *at = (at.0.max(stored.0), at.1.max(stored.1));
        }
    }

    /// The process that reports the jobs of this task ends; the runner and its commands go on.
    pub fn stop_reporting(&self, task: &TaskId) {
        if let Some(links) = &mut self.inner.state.lock().links {
            links.reported.retain(|(of, _), _| of != task);
        }
    }
}

impl Inner {
    /// Sends a request if the runners are posted requests; false if they are not.
    pub(super) fn post(&self, task: &TaskId, frame: impl FnOnce() -> Frame) -> bool {
        let mut state = self.state.lock();
        let Some(links) = &mut state.links else { return false };
        links.frames.push((task.clone(), frame()));
        true
    }
}
