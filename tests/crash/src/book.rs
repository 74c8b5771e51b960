//! What the clients know: what was accepted, and what must have come of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
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
    /// We killed its shell.
    pub(crate) killed: bool,
    /// It is to live through all rounds.
    pub(crate) kept: bool,
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
    finals: HashMap<String, (Value, Instant)>,
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

    /// Compares a record, asked for at this time, with its first final state.
    pub(crate) fn saw(&self, id: &str, record: &Value, asked: Instant, verdict: &Verdict) {
        let mut pages = self.pages();
        let known = pages.finals.get(id);
        if !is_final(record) {
            // An answer may have been overtaken by one that was asked for later.
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
            pages.finals.insert(id.to_owned(), (record.clone(), Instant::now()));
        }
    }
}

/// Whether a job or a session is over.
pub(crate) fn is_final(record: &Value) -> bool {
    let open = ["queued", "provisioning", "starting", "ready", "stopping", "running"];
    record["status"].as_str().is_some_and(|status| !open.contains(&status))
}
