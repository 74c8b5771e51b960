//! The clients' model of the server: what was accepted, and which results are allowed.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use testkit::Invariant;

use crate::{script::Script, verdict::Verdict};

/// A session as its client knows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    pub(crate) start_job: String,
    /// The signing secret, if the session has a webhook.
    pub(crate) secret: Option<String>,
    /// The stop was requested while commands may have been open, or the time to live was short.
    pub(crate) cut_short: bool,
    /// The test killed the shell.
    pub(crate) killed: bool,
    /// The session must live through all rounds.
    pub(crate) kept: bool,
    /// The jobs that read the run log, oldest first.
    pub(crate) audits: Vec<String>,
}

/// An accepted command.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) job: String,
    pub(crate) session: String,
    pub(crate) script: Script,
    pub(crate) serial: bool,
    pub(crate) cancel_asked: bool,
}

/// The expectations of all clients.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) sessions: BTreeMap<String, Session>,
    /// In the order in which they were accepted, for each session.
    pub(crate) runs: Vec<Run>,
    pub(crate) stops: Vec<(String, String)>,
    /// The first final state of each job and session, and when it was seen.
    finals: HashMap<String, (Value, Instant)>,
}

/// The model, shared by all clients.
#[derive(Debug, Default)]
pub(crate) struct Model {
    expected: Mutex<Expected>,
}

impl Model {
    pub(crate) fn expected(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock()
    }

    /// Changes the expectations about a session.
    pub(crate) fn session(&self, id: &str, change: impl FnOnce(&mut Session)) {
        change(self.expected().sessions.entry(id.to_owned()).or_default());
    }

    /// Compares a record, requested at this time, with its first final state.
    pub(crate) fn saw(&self, id: &str, record: &Value, asked: Instant, verdict: &Verdict) {
        let mut expected = self.expected();
        let known = expected.finals.get(id);
        if !is_final(record) {
            // A response may arrive after the response to a later request.
            let changed = known.is_some_and(|(_, seen)| *seen < asked);
            verdict.check(!changed, Invariant::FinalRecordsNeverChange, || {
                format!("{id} was final and is {} now", record["status"])
            });
        } else if let Some((first, _)) = known {
            verdict.check(first == record, Invariant::FinalRecordsNeverChange, || {
                let fields = record.as_object().into_iter().flatten();
                let changed = fields.filter(|(name, value)| first.get(*name) != Some(*value));
                let changed: Vec<_> = changed.map(|(name, _)| name.as_str()).collect();
                format!("{id} changed after its end: {}", changed.join(", "))
            });
        } else {
            expected.finals.insert(id.to_owned(), (record.clone(), Instant::now()));
        }
    }
}

/// Whether a job or a session is final.
pub(crate) fn is_final(record: &Value) -> bool {
    let open = ["queued", "provisioning", "starting", "ready", "stopping", "running"];
    record["status"].as_str().is_some_and(|status| !open.contains(&status))
}
