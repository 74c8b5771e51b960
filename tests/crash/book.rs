//! What the clients know: what was accepted, and what must have come of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use crate::{
    script::Script,
    verdict::{Invariant, Verdict},
};

/// A session as its client knows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    pub(crate) start_job: String,
    /// The webhooks' key, if there are webhooks.
    pub(crate) secret: Option<String>,
    /// Its end was asked for while commands may have been open, or its time was short.
    pub(crate) cut_short: bool,
    /// The jobs that read what the commands left, oldest first.
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

#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) sessions: BTreeMap<String, Session>,
    /// In the order in which they were accepted, for each session.
    pub(crate) runs: Vec<Run>,
    pub(crate) stops: Vec<(String, String)>,
    /// The first final state that anybody saw of a job or a session.
    finals: HashMap<String, Value>,
}

/// Shared by all clients.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pages: Mutex<Pages>,
}

impl Book {
    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a session.
    pub(crate) fn session(&self, id: &str, change: impl FnOnce(&mut Session)) {
        change(self.pages().sessions.entry(id.to_owned()).or_default());
    }

    /// Compares a record with its first final state. `record` may still be open.
    pub(crate) fn saw(&self, id: &str, record: &Value, verdict: &Verdict) {
        if !is_final(record) {
            let known = self.pages().finals.contains_key(id);
            verdict.check(!known, Invariant::FinalRecordsNeverChange, || {
                format!("{id} was final and is {} now", record["status"])
            });
            return;
        }
        let mut pages = self.pages();
        let first = pages.finals.entry(id.to_owned()).or_insert_with(|| record.clone());
        verdict.check(first == record, Invariant::FinalRecordsNeverChange, || {
            format!("{id} was {} and is {} now: {}", first["status"], record["status"], {
                let fields = record.as_object().into_iter().flatten();
                let changed = fields.filter(|(name, value)| first.get(*name) != Some(*value));
                changed.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
            })
        });
    }
}

/// Whether a job or a session is over.
pub(crate) fn is_final(record: &Value) -> bool {
    let open = ["queued", "provisioning", "starting", "ready", "stopping", "running"];
    record["status"].as_str().is_some_and(|status| !open.contains(&status))
}
